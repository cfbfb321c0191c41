"""The fastest of the sound and about equally accurate is recommended."""

from dataclasses import replace

import pytest

from nfcompile.bench.statistics import Timing
from nfcompile.errors import InputError
from nfcompile.study.recommend import Candidate, _passed_over, choose, pareto_front, recommend
from nfcompile.study.statistics import Estimate
from nfcompile.topology import Butterfly, Dense, LowRank, Monarch
from nfcompile.topology.jacobian import Freedom
from nfcompile.topology.requirements import Requirement

BATCH = 64


def candidate(accuracy, latency, *, half=0.01, unmet=(), parameters=256, single=1.0, count=3):
    names = ("reachability", "bandwidth", "depth")
    judged = tuple(Requirement(name, name not in unmet, 0.0, "") for name in names)
    # Half the 95 % interval of three samples at -d, 0 and d is 4.303 d / sqrt(3).
    spread = half * 3**0.5 / 4.302653
    offsets = {1: (0,), 3: (-spread, 0, spread)}[count]
    interval = Estimate(tuple(accuracy + offset for offset in offsets))
    timings = {BATCH: Timing(latency, latency, 0.0), 1: Timing(single, single, 0.0)}
    return Candidate(Dense(16), judged, 1.0, True, interval, parameters, timings)


def test_the_front_holds_what_nothing_else_beats_in_all_objectives():
    #          best      fastest    between    slower    less accurate  same as best
    points = [(0.9, 50), (0.5, 10), (0.7, 20), (0.9, 60), (0.6, 20), (0.9, 50)]
    marked = pareto_front([candidate(*point) for point in points], BATCH)
    assert [c.on_front for c in marked] == [True, True, True, False, False, True]


@pytest.mark.parametrize("merit", [{"parameters": 255}, {"single": 0.9}])
def test_fewer_parameters_or_a_lower_latency_at_batch_1_earn_a_place_on_the_front(merit):
    good = candidate(0.9, 10)
    assert [c.on_front for c in pareto_front([good, candidate(0.8, 20)], BATCH)] == [True, False]
    marked = pareto_front([good, candidate(0.8, 20, **merit)], BATCH)
    assert [c.on_front for c in marked] == [True, True]


def test_the_fastest_of_those_that_are_not_significantly_less_accurate_is_chosen():
    best, close, worse = candidate(0.9, 50), candidate(0.895, 20), candidate(0.88, 10)
    assert choose([best, close, worse], BATCH) is close
    sure = [candidate(mean, time, half=0) for mean, time in ((0.9, 50), (0.895, 20), (0.88, 10))]
    assert choose(sure, BATCH) is sure[0]


def test_the_variance_is_that_of_the_sound_ones_only():
    noisy = candidate(0.1, 1, half=0.5, unmet=["reachability"])
    best, worse = candidate(0.9, 50), candidate(0.88, 10)
    assert choose([best, worse, noisy], BATCH) is best


@pytest.mark.parametrize("requirement", ["reachability", "bandwidth"])
def test_what_does_not_pass_all_signals_is_chosen_only_if_nothing_does(requirement):
    unsound, sound = candidate(0.9, 10, unmet=[requirement]), candidate(0.6, 50)
    assert choose([unsound, sound], BATCH) is sound
    assert choose([unsound], BATCH) is unsound


def test_other_requirements_do_not_exclude():
    deep, other = candidate(0.9, 10, unmet=["depth"]), candidate(0.8, 50)
    assert choose([deep, other], BATCH) is deep
    assert [item.name for item in deep.unmet] == ["depth"]


def test_throughput_is_samples_per_second():
    assert candidate(0.9, 50).throughput(BATCH) == pytest.approx(64 / 50e-6)


def test_a_budget_that_nothing_fits_is_refused_before_anything_is_trained():
    with pytest.raises(InputError, match="no topology from 64 to 64 has 10 edges"):
        recommend(64, 64, 10)


KINDS = [Butterfly(64, 8), LowRank(64, 8), Monarch(64), Dense(64)]


def accuracies(**values):
    """Stands for training: a mean by kind, and half a per cent up and down by seed."""

    def run(tasks, function, path, *, progress, **options):
        progress(len(tasks), len(tasks))
        kinds = [task["topology"].partition("(")[0].replace("-", "_") for task in tasks]
        return [
            {"task": task, "result": {"accuracy": values[kind] + 0.005 * (-1) ** task["seed"]}}
            for task, kind in zip(tasks, kinds, strict=True)
        ]

    return run


def timings(**values):
    def measure(topologies, batches, **options):
        found = [values[topology.name.replace("-", "_")] for topology in topologies]
        return [{size: Timing(us * size, us, 0.0) for size in batches} for us in found]

    return measure


@pytest.fixture
def quick(monkeypatch):
    """A recommendation among `KINDS` from given accuracies and latencies."""

    def make(accuracy, latency, kinds=KINDS, **options):
        base = "nfcompile.study.recommend."
        monkeypatch.setattr(base + "fit_all", lambda *args: kinds)
        monkeypatch.setattr(base + "run_tasks", accuracies(**accuracy))
        monkeypatch.setattr(base + "measure_latency", timings(**latency))
        monkeypatch.setattr(base + "freedom", lambda topology: Freedom(1024, exact=False))
        return recommend(64, 64, 4096, **{"seeds": 2, "batch": 8, **options})

    return make


EQUAL = {"butterfly": 0.9, "low_rank": 0.9, "dense": 0.9}
FAST = {"butterfly": 10.0, "low_rank": 5.0, "dense": 40.0}


@pytest.mark.parametrize("skip", [True, False])
def test_all_candidates_have_the_same_skip_and_no_two_the_same_masks(quick, skip):
    found = quick(EQUAL, FAST, skip=skip)
    texts = {str(c.topology) for c in found.candidates}
    ending = ", skip=true)" if skip else ")"
    assert texts == {f"butterfly(n=64, radix=8{ending}", f"low-rank(n=64, rank=8{ending}"}
    assert found.dense.topology == Dense(64, skip=skip)


def test_no_skip_is_asked_for_where_widths_differ(monkeypatch, quick):
    found = quick({"low_rank": 0.9, "dense": 0.9}, FAST, kinds=[LowRank(64, 8)])
    assert found.best.topology.skip
    monkeypatch.setattr("nfcompile.study.recommend.fit_all", lambda *a: [LowRank(64, 8, out=32)])
    assert not recommend(64, 32, 1024, seeds=1).best.topology.skip


def test_dense_is_not_recommended_but_its_merits_are_told(quick):
    found = quick({**EQUAL, "dense": 0.99}, {**FAST, "dense": 1.0})
    said = "\n".join(found.reasons)
    assert found.best.topology.name == "butterfly"
    assert found.dense.accuracy.mean == pytest.approx(0.99) and found.dense.on_front
    assert "the dense layer reaches 99.00%: it is more accurate, significantly" in said
    assert "the dense layer is faster at batch 1 and 8" in said
    assert "at most 25.0% of its entries" in said
    said = "\n".join(quick({**EQUAL, "dense": 0.901}, FAST).reasons)
    assert "it is more accurate, not significantly" in said and "is faster" not in said
    assert "10.0 us at batch 1, the dense layer takes 40.0 us: 4x" in said
    said = "\n".join(quick({**EQUAL, "dense": 0.8}, FAST).reasons)
    assert "the dense layer reaches 80.00%: not more accurate" in said


def test_dense_is_recommended_where_nothing_sparse_fits(quick):
    found = quick(EQUAL, FAST, kinds=[Dense(64)])
    assert found.best == found.dense == found.candidates[0] and len(found.candidates) == 1
    assert "no sparse topology fits the budget" in found.reasons


def test_one_seed_is_told_to_be_no_test(quick):
    words = "not tested for significance"
    assert not any(words in reason for reason in quick(EQUAL, FAST).reasons)
    found = quick({**EQUAL, "dense": 0.99}, FAST, seeds=1)
    assert sum(words in reason for reason in found.reasons) == 2
    assert any("over one seed;" in reason for reason in found.reasons)


def test_from_budget_to_recommendation(monkeypatch, tmp_path):
    pytest.importorskip("sklearn")
    monkeypatch.setattr("nfcompile.study.recommend.fit_all", lambda *args: KINDS[:2])
    free = Freedom(960, exact=True)  # as it is of low rank; the others' takes seconds
    monkeypatch.setattr("nfcompile.study.recommend.freedom", lambda topology: free)
    arguments = {"seeds": 2, "epochs": 1, "batch": 8, "workers": 1}
    said = []
    found = recommend(64, 64, 1024, **arguments, results=tmp_path / "r.jsonl", progress=said.append)
    means = [c.accuracy.mean for c in found.candidates]
    assert len(means) == 2 and means == sorted(means, reverse=True)
    assert found.best.topology == Butterfly(64, 8, skip=True)  # the other narrows the signals
    assert [c.parameters for c in found.candidates] == [1024, 1024]
    assert {(c.freedom, c.freedom_exact) for c in found.candidates} == {(960 / 4096, True)}
    assert set(found.dense.latency) == set(found.best.latency) == {1, 8}
    assert found.dense.accuracy.count == 2 and found.dense.parameters == 4096
    assert all("\n" not in reason for reason in found.reasons)
    assert any("6 of 6 runs done" in step for step in said)
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 6


def test_what_was_not_considered_is_said_and_why():
    narrow, sound = candidate(0.9, 10, unmet=["bandwidth"]), candidate(0.8, 50)
    (reason,) = _passed_over(sound, [replace(narrow, topology=LowRank(16, 4)), sound])
    assert reason.endswith("do not meet: low-rank(n=16, rank=4) (bandwidth)")
    assert not _passed_over(narrow, [narrow])

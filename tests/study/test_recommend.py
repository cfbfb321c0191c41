"""The fastest of the sound and about equally accurate is recommended."""

import pytest
import torch

from nfcompile.bench.statistics import Timing
from nfcompile.errors import InputError
from nfcompile.study.recommend import Candidate, _freedom, choose, pareto_front, recommend
from nfcompile.study.summary import Estimate
from nfcompile.topology import Butterfly, Dense, LowRank
from nfcompile.topology.requirements import Requirement

BATCH = 64


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def candidate(accuracy, latency, *, half=0.01, unmet=()):
    names = ("reachability", "bandwidth", "depth")
    judged = tuple(Requirement(name, name not in unmet, 0.0, "") for name in names)
    interval = Estimate(accuracy, accuracy - half, accuracy + half, 3)
    timings = {BATCH: Timing(latency, latency, 0.0), 1: Timing(1 / latency, 1.0, 0.0)}
    return Candidate(Dense(16), judged, 1.0, interval, 256, timings)


def test_the_front_holds_what_nothing_else_beats_in_both():
    #          best      fastest    between    slower    less accurate  same as best
    points = [(0.9, 50), (0.5, 10), (0.7, 20), (0.9, 60), (0.6, 20), (0.9, 50)]
    marked = pareto_front([candidate(*point) for point in points], BATCH)
    assert [c.on_front for c in marked] == [True, True, True, False, False, True]


def test_the_front_is_that_of_the_batch_size_asked_for():
    points = [candidate(0.9, 50), candidate(0.8, 10)]
    assert [c.on_front for c in pareto_front(points, BATCH)] == [True, True]
    assert [c.on_front for c in pareto_front(points, 1)] == [True, False]


def test_the_fastest_of_those_that_are_not_significantly_less_accurate_is_chosen():
    best, close, worse = candidate(0.9, 50), candidate(0.895, 20), candidate(0.88, 10)
    assert choose([best, close, worse], BATCH) is close
    sure = [candidate(mean, time, half=0) for mean, time in ((0.9, 50), (0.895, 20), (0.88, 10))]
    assert choose(sure, BATCH) is sure[0]


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


@pytest.mark.parametrize(("exact", "rank"), [(10**9, 112), (0, 124)])
def test_freedom_is_the_rank_of_the_jacobian_or_its_bound_where_that_is_large(
    monkeypatch, exact, rank
):
    monkeypatch.setattr("nfcompile.study.recommend._EXACT", exact)
    topology = LowRank(16, 4)  # 2 n r - r^2 = 112, bounded by weights minus hidden neurons
    assert _freedom(topology) * 256 == rank
    assert _freedom(Butterfly(16, 4)) * 256 == 112


def test_from_budget_to_recommendation(monkeypatch, tmp_path):
    pytest.importorskip("sklearn")
    kinds = [Butterfly(64, 8), LowRank(64, 8)]
    monkeypatch.setattr("nfcompile.study.recommend.fit_all", lambda *args: kinds)
    monkeypatch.setattr("nfcompile.study.recommend._EXACT", 0)  # the bound is enough here
    arguments = {"seeds": 2, "epochs": 1, "batch": 8, "workers": 1}
    said = []
    found = recommend(64, 64, 1024, **arguments, results=tmp_path / "r.jsonl", progress=said.append)
    assert {c.topology for c in found.candidates} == set(kinds)
    by_topology = {c.topology: c for c in found.candidates}
    means = [c.accuracy.mean for c in found.candidates]
    assert means == sorted(means, reverse=True)
    assert found.best.topology == Butterfly(64, 8)  # the other narrows the signals
    assert [c.parameters for c in found.candidates] == [1024, 1024]
    for topology in kinds:
        assert by_topology[topology].freedom <= 1016 / 4096
    assert set(found.dense) == set(found.best.latency) == {1, 8}
    assert any(c.on_front for c in found.candidates)
    assert len(found.reasons) == 4
    assert all("\n" not in reason for reason in found.reasons)
    assert any("4 of 4 runs done" in step for step in said)
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 4

"""Verdicts follow from the numbers: reproduced, not reproduced, and not decidable."""

from dataclasses import replace

import pytest
import topologies_claims as claims
from topologies_page import Measured, page

from nfcompile.bench.environment import describe
from nfcompile.bench.statistics import Timing
from nfcompile.study.recommend import Candidate, Recommendation
from nfcompile.study.statistics import Estimate
from nfcompile.study.summary import Outcome
from nfcompile.topology import KINDS, parse
from nfcompile.topology.fit import fit_all
from nfcompile.topology.requirements import requirements

SETTING = "digits, 2 layers, 15 epochs"


def outcome(text, accuracy, *, skip=False, spread=0.001, **heuristic):
    topology = replace(parse(text), skip=skip)
    samples = tuple(accuracy + spread * offset for offset in (-2, -1, 0, 1, 2))
    values = {name: Estimate((value,)) for name, value in heuristic.items()}
    return Outcome(
        str(topology), topology.name, skip, topology.edges, SETTING, Estimate(samples), values
    )


def group(best, others=0.95, **spread):
    """Topologies of one budget, the parallel butterfly with a skip at `best`."""
    found = []
    for member in fit_all(64, 64, 1536):
        for skip in (False, True):
            mine = member.name == "parallel-butterfly" and skip
            accuracy = best if mine else others
            found.append(outcome(str(replace(member, skip=False)), accuracy, skip=skip, **spread))
    return found


@pytest.mark.parametrize(
    ("best", "verdict"),
    [(0.97, "reproduced,"), (0.93, "not reproduced,"), (0.9501, "not decidable here,")],
)
def test_the_best_topology_must_be_surely_the_best(best, verdict):
    assert claims._best(group(best)).verdict.startswith(verdict)


def test_a_budget_without_the_claimed_best_is_named_and_not_counted():
    few = [outcome(str(member), 0.9 + i / 100) for i, member in enumerate(fit_all(64, 64, 768))]
    found = claims._best(group(0.97) + few)
    assert "of 1 cases" in found.verdict
    assert "No parallel butterfly uses these budgets: 768 (2 layers)" in found.figures


@pytest.mark.parametrize(
    ("clos", "spread", "verdict"),
    [
        (0.955, 1e-3, "reproduced"),
        (0.92, 1e-3, "not reproduced"),
        (0.945, 2e-2, "not decidable here"),
    ],
)
def test_a_cascade_is_as_good_as_dense_within_a_margin(clos, spread, verdict):
    found = [outcome(claims.CLOS, clos, spread=spread), outcome("dense(n=256)", 0.95)]
    assert claims._cascade(found).verdict == f"{verdict}, on digits"


def test_topologies_that_do_not_differ_are_not_said_to():
    assert claims._differ(group(0.95, spread=0.01)).verdict.endswith("they differ in 0 of 1 cases")
    apart = [replace(o, accuracy=Estimate((0.8, 0.81))) if o.kind == "clos" else o
             for o in group(0.95)]  # fmt: skip
    assert claims._differ(apart).verdict.endswith("they differ in 1 of 1 cases")


def test_a_heuristic_that_ranks_as_the_accuracy_does_predicts():
    found = []
    for budget in (768, 1024, 1536, 3072):
        for index, member in enumerate(fit_all(64, 64, budget)):
            text = str(replace(member, skip=False))
            scores = {"l2": -index, "l1": index % 2, "l0": index % 3, "rank": 7}
            found.append(outcome(text, 0.9 + index / 100, **scores))
    verdict = claims._heuristic(found).verdict
    assert "ours predicts by l2 at 2 layers, of" in verdict
    assert verdict.startswith("not decidable here: theirs is unknown")


def candidate(text):
    topology = parse(text)
    timing = Timing(10.0, 12.0, 0.1)
    return Candidate(
        topology, tuple(requirements(topology)), 0.5, True, Estimate((0.9, 0.95)), topology.edges,
        {1: timing, 64: timing},
    )  # fmt: skip


def test_the_page_has_every_section_and_tables_that_line_up():
    cascades = [
        {"task": {"topology": "hypercube(n=64, layers=64)", "init": init, "seed": seed},
         "result": {"accuracy": accuracy + seed / 100, "losses": [2.3, 0.1]}}
        for init, accuracy in (("fan_in", 0.9), ("dense", 0.1))
        for seed in range(3)
    ]  # fmt: skip
    timing = {"median_us": 1000.0, "spread": 0.1}
    case = {"n": 4096, "entries": 64, "batch": 64, "threads": 1}
    step = {"torch": "2", "rows": [
        {**case, "sparse": timing, "dense": timing, "ratio": 1.0},
        {**case, "bytes": {"sparse": 1 << 20, "dense": 1 << 24}, "share": 0.06},
    ]}  # fmt: skip
    pair = [outcome(t, 0.9, skip=s) for t in (claims.CLOS, "dense(n=256)") for s in (False, True)]
    best, dense = candidate("butterfly(n=64, radix=8)"), candidate("dense(n=64)")
    made = page(
        Measured(
            environment=describe(1),
            outcomes=group(0.97) + pair,
            cascades=cascades,
            masks=[{"topology": "x", "factors": 1, "edges": 2, "seconds": 0.1, "bytes": 10}],
            training_step=step,
            recommendation=Recommendation(best, ("because",), (best,), dense),
        )
    )
    assert made.count("\n## ") == 7
    for kind in KINDS:
        assert f"`{kind}(" in made
    tables = [block.splitlines() for block in made.split("\n\n") if block.startswith("|")]
    assert len(tables) > 8
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1

"""A task says in plain values what to run, and running it gives plain results."""

import json

import pytest

from nfcompile.data import load
from nfcompile.errors import InputError
from nfcompile.study.reconstruction import reconstruct
from nfcompile.study.tasks import run_task, score_task, train_tasks
from nfcompile.study.training import train_topology
from nfcompile.topology import Butterfly, ParallelButterfly, parse

pytest.importorskip("sklearn")

BUTTERFLY = Butterfly(16, 4)
SCORE = score_task(BUTTERFLY)


def test_a_score_leaves_the_skip_out_so_that_it_is_computed_once():
    with_skip, without = (ParallelButterfly(16, 4, 2, skip=s) for s in (True, False))
    assert score_task(with_skip) == score_task(without)
    assert parse(score_task(with_skip)["topology"]) == without


def test_a_score_is_the_reconstruction_and_the_rank():
    task = score_task(BUTTERFLY, draws=2, restarts=1, steps=20, seed=3)
    result = run_task(json.loads(json.dumps(task)))
    found = reconstruct(BUTTERFLY, draws=2, restarts=1, steps=20, seed=3)
    assert (result["edges"], result["rank"]) == (128, 112)
    assert (result["l2"], result["l1"], result["l0"]) == (found.l2, found.l1, found.l0)
    json.dumps(result)


def test_there_is_one_training_per_seed_that_differs_in_nothing_else(tmp_path):
    tasks = list(train_tasks(BUTTERFLY, "digits", range(3), folder=tmp_path, epochs=4))
    assert [task["seed"] for task in tasks] == [0, 1, 2]
    assert len({json.dumps({**task, "seed": 0}) for task in tasks}) == 1
    assert tasks[0]["folder"] == str(tmp_path.absolute())


def test_a_training_is_that_of_the_topology_on_the_data():
    topology = Butterfly(64, 8)
    (task,) = train_tasks(topology, "digits", [5], layers=1, epochs=1)
    result = run_task(json.loads(json.dumps(task)))
    found = train_topology(topology, load("digits"), layers=1, epochs=1, seed=5)
    assert result["accuracy"] == found.accuracy
    assert tuple(result["losses"]) == found.losses
    assert result["edges"] == topology.edges


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({**SCORE, "kind": "guess"}, "must be score or train, got 'guess'"),
        ({**SCORE, "topology": "dense(m=4)"}, "no parameter 'm'"),
        ({**SCORE, "recipe": 0}, "recipe of a task must be 1, this version's, got 0"),
        ({**next(train_tasks(BUTTERFLY, "digits", [0]))}, "at most the topology's 16, got 64"),
        ({**next(train_tasks(BUTTERFLY, "digts", [0]))}, "unknown data set 'digts'"),
    ],
)
def test_tasks_that_cannot_be_run_are_refused_in_one_line(task, message):
    with pytest.raises(InputError, match=message) as caught:
        run_task(task)
    assert "\n" not in str(caught.value)

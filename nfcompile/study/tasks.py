"""The two tasks of a sweep: score a topology without data, and train it on data."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from nfcompile.data import Dataset, load
from nfcompile.errors import InputError
from nfcompile.study.reconstruction import reconstruct
from nfcompile.study.sweep import Task
from nfcompile.study.training import one_thread, train_topology
from nfcompile.topology import Topology, parse
from nfcompile.topology.jacobian import jacobian_rank

__all__ = ["RECIPE", "run_task", "score_task", "train_tasks"]

RECIPE = 1
"""Raised whenever the same task would give other numbers, so that no old result passes for new."""


def score_task(
    topology: Topology, *, draws: int = 5, restarts: int = 2, steps: int = 800, seed: int = 0
) -> Task:
    """The task of reconstructing random matrices, see `reconstruct`; the skip is left out."""
    return {
        "kind": "score", "recipe": RECIPE, "topology": str(replace(topology, skip=False)),
        "draws": draws, "restarts": restarts, "steps": steps, "seed": seed,
    }  # fmt: skip


def train_tasks(
    topology: Topology,
    dataset: str,
    seeds: Sequence[int],
    *,
    folder: Path | None = None,
    layers: int = 2,
    epochs: int = 20,
    init: str = "fan_in",
) -> Iterator[Task]:
    """The tasks of training a topology, one per seed, see `train_topology`."""
    for seed in seeds:
        yield {
            "kind": "train", "recipe": RECIPE, "topology": str(topology), "dataset": dataset,
            "folder": None if folder is None else str(folder.absolute()), "layers": layers,
            "epochs": epochs, "init": init, "seed": seed,
        }  # fmt: skip


def run_task(task: Task) -> dict[str, Any]:
    """Runs one task in this process, on one thread.

    Args:
        task: Of `score_task` or `train_tasks`.

    Returns:
        For a score: `edges`, `rank` of the Jacobian, None where that is too large, and `l2`,
        `l1`, `l0` with one number per draw. For a training: `edges`, `accuracy`, `losses` per
        epoch, `parameters`.

    Raises:
        InputError: If the task is neither, or one of its values cannot be used.
    """
    options: dict[str, Any] = dict(task)
    recipe, kind = options.pop("recipe"), options.pop("kind")
    if recipe != RECIPE:
        raise InputError(f"recipe of a task must be {RECIPE}, this version's, got {recipe!r}")
    topology = parse(options.pop("topology"))
    result: dict[str, Any] = {"edges": topology.edges}
    if kind == "score":
        with one_thread():
            found = reconstruct(topology, **options)
        return {**result, "rank": _rank(topology), **asdict(found)}
    if kind == "train":
        dataset = _dataset(options.pop("dataset"), options.pop("folder"))
        return {**result, **asdict(train_topology(topology, dataset, **options))}
    raise InputError(f"kind of a task must be score or train, got {kind!r}")


def _rank(topology: Topology) -> int | None:
    try:
        return jacobian_rank(topology)
    except InputError:  # the Jacobian is too large: the other metrics count without it
        return None


@lru_cache(maxsize=1)
def _dataset(name: str, folder: str | None) -> Dataset:
    return load(name, None if folder is None else Path(folder))

"""What a sweep found: its records joined by topology, with means and confidence intervals."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from nfcompile.study.statistics import Estimate
from nfcompile.topology import parse

__all__ = ["METRICS", "Outcome", "outcomes", "without_skip"]

METRICS = ("l2", "l1", "l0", "rank")


@dataclass(frozen=True)
class Outcome:
    """What a sweep says of one topology.

    Attributes:
        topology: Its text.
        kind: Its name.
        skip: Whether it has one.
        edges: Number of weights per layer.
        setting: What else was the same for all seeds, such as data set and number of layers;
            empty for a topology that was only scored.
        accuracy: Over the seeds; None if it was not trained.
        heuristic: `l2`, `l1`, `l0` and `rank` over the draws, without a rank where it was too
            large to compute; empty if it was not scored.
    """

    topology: str
    kind: str
    skip: bool
    edges: int
    setting: str
    accuracy: Estimate | None
    heuristic: Mapping[str, Estimate]


def outcomes(records: Iterable[Mapping[str, Any]]) -> list[Outcome]:
    """Joins the records of a sweep by topology and setting, in the order of their first record.

    A score holds for a topology with and without its skip. Scores compare only at equal settings
    (draws, restarts, steps, seed): those of the most frequent setting count, the first of several
    such; the others are left out. Of records with several recipes, the newest alone count.
    """
    listed = _newest(records)
    settings = Counter(_score_setting(r["task"]) for r in listed if r["task"]["kind"] == "score")
    usual = max(settings, key=settings.__getitem__, default=None)
    scores: dict[str, dict[str, Estimate]] = {}
    trained: dict[tuple[str, str], list[float]] = defaultdict(list)
    edges: dict[str, int] = {}
    for record in listed:
        task, result = record["task"], record["result"]
        text = task["topology"]
        if task["kind"] != "score":
            trained[text, _setting(task)].append(result["accuracy"])
        elif _score_setting(task) == usual:
            found = {name: result[name] for name in METRICS if result[name] is not None}
            scores[without_skip(text)] = {
                name: Estimate(_samples(value)) for name, value in found.items()
            }
        else:
            continue
        edges[text] = result["edges"]
    made = [
        _outcome(
            text, setting, edges[text], Estimate(tuple(samples)), scores.get(without_skip(text), {})
        )
        for (text, setting), samples in trained.items()
    ]
    seen = {without_skip(text) for text, _ in trained}
    made += [
        _outcome(text, "", edges[text], None, scores[without_skip(text)])
        for text in edges
        if without_skip(text) not in seen
    ]
    return made


@lru_cache(maxsize=4096)
def without_skip(text: str) -> str:
    """The text of the same topology without a skip, under which its score is kept.

    Raises:
        InputError: If the text is none of a topology.
    """
    return str(replace(parse(text), skip=False))


def _newest(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    numbered = [(int(record["task"].get("recipe", 0)), record) for record in records]
    newest = max((recipe for recipe, _ in numbered), default=0)
    return [record for recipe, record in numbered if recipe == newest]


def _score_setting(task: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    """All of a score that could change it, but the topology."""
    return frozenset(item for item in task.items() if item[0] not in ("kind", "topology"))


def _setting(task: Mapping[str, Any]) -> str:
    """All of a training that could change its accuracy, but topology and seed."""
    layers = f"{task['layers']} layer{'s' if task['layers'] > 1 else ''}"
    init = "" if task["init"] == "fan_in" else f", init {task['init']}"
    return f"{task['dataset']}, {layers}, {task['epochs']} epochs{init}"


def _outcome(
    text: str,
    setting: str,
    edges: int,
    accuracy: Estimate | None,
    heuristic: Mapping[str, Estimate],
) -> Outcome:
    topology = parse(text)
    return Outcome(text, topology.name, topology.skip, edges, setting, accuracy, heuristic)


def _samples(value: Any) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, list) else (float(value),)

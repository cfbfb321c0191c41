"""Which topology to train for a layer of given widths and budget, and why."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from nfcompile.bench.statistics import Timing
from nfcompile.study.latency import measure_latency
from nfcompile.study.statistics import Estimate, significant_difference
from nfcompile.study.sweep import run_tasks
from nfcompile.study.tasks import run_task, train_tasks
from nfcompile.topology import Dense, Mask, Topology
from nfcompile.topology.fit import fit_all
from nfcompile.topology.jacobian import freedom
from nfcompile.topology.requirements import Requirement, requirements

__all__ = ["Candidate", "Recommendation", "choose", "pareto_front", "recommend"]

_NEEDED = ("reachability", "bandwidth")


@dataclass(frozen=True)
class Candidate:
    """One topology and all that is known of it.

    Attributes:
        topology: What it is.
        requirements: Met or not, with the numbers.
        freedom: The heuristic that needs no training: how many entries of the effective matrix
            can be prescribed at once, as a share of all entries.
        freedom_exact: Whether that is the number itself, not only a bound above it.
        accuracy: On the test set, over seeds.
        parameters: Weights of one layer.
        latency: Of the compiled layer, by batch size; of the dense one as an ordinary Linear,
            without a skip.
        on_front: Whether no other candidate is at least as good in accuracy, parameters, latency
            at batch 1 and throughput, and better in one of the four.
    """

    topology: Topology
    requirements: tuple[Requirement, ...]
    freedom: float
    freedom_exact: bool
    accuracy: Estimate
    parameters: int
    latency: dict[int, Timing]
    on_front: bool = False

    def throughput(self, batch: int) -> float:
        """Samples per second at a batch size."""
        return batch / self.latency[batch].median_us * 1e6

    @property
    def unmet(self) -> list[Requirement]:
        """The requirements that it does not meet."""
        return [item for item in self.requirements if not item.met]


@dataclass(frozen=True)
class Recommendation:
    """The best candidate for a budget, with its reasons, and all others.

    Attributes:
        best: The one to train.
        reasons: Why, one sentence each.
        candidates: All sparse ones that fit the budget, most accurate first; the dense layer
            alone if there is none.
        dense: The dense layer of these widths, trained and timed like the others, whether or not
            it fits the budget.
    """

    best: Candidate
    reasons: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    dense: Candidate


def recommend(
    in_features: int,
    out_features: int,
    edges: int,
    *,
    skip: bool = True,
    dataset: str = "digits",
    folder: Path | None = None,
    seeds: int = 3,
    epochs: int = 10,
    batch: int = 64,
    threads: int = 1,
    results: Path | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Recommendation:
    """Trains, compiles and times the best member of each kind within an edge budget.

    Among those that join all pairs and let all signals pass, and that are not significantly less
    accurate than the best one, the fastest is recommended. Where none meets both
    requirements, they do not count. The dense layer is measured beside them, and recommended only
    if nothing sparse fits.

    Args:
        in_features: Number of inputs of the layer.
        out_features: Number of outputs of the layer.
        edges: The most weights of the layer.
        skip: Whether all candidates, the dense layer too, have a skip; where widths differ none
            has.
        dataset: What to train on, see `nfcompile.data.load`.
        folder: Where its files are.
        seeds: Training runs per topology.
        epochs: Passes over the training set.
        batch: Batch size at which latency decides; 1 is measured as well.
        threads: Threads of one inference.
        results: A file in which training results are kept and found again.
        scheduler: A Dask cluster to train on; this machine if None.
        workers: Processes on this machine; as many as cores if None.
        progress: Called with a few words at each step.

    Raises:
        InputError: If nothing fits the budget, or the data set is missing or too wide.
    """
    skip = skip and in_features == out_features
    dense = Dense(in_features, out=out_features, skip=skip)
    fitting = _distinct(
        replace(item, skip=skip)
        for item in fit_all(in_features, out_features, edges)
        if not isinstance(item, Dense)
    )
    topologies = [*fitting, dense]
    layers = 2 if in_features == out_features else 1
    tasks = [
        list(train_tasks(t, dataset, range(seeds), folder=folder, layers=layers, epochs=epochs))
        for t in topologies
    ]

    def say(done: int, total: int) -> None:
        progress(f"training: {done} of {total} runs done")

    flat = [task for group in tasks for task in group]
    records = iter(
        run_tasks(flat, run_task, results, scheduler=scheduler, workers=workers, progress=say)
    )
    accuracies = [
        Estimate(tuple(next(records)["result"]["accuracy"] for _ in group)) for group in tasks
    ]
    latencies = measure_latency(topologies, sorted({1, batch}), threads=threads, progress=progress)
    found: list[Candidate] = []
    for topology, accuracy, latency in zip(topologies, accuracies, latencies, strict=True):
        progress(f"judging {topology}")
        found.append(_judge(topology, accuracy, latency))
    *sparse, baseline = pareto_front(found, batch)
    candidates = sparse or [baseline]
    best = choose(candidates, batch)
    reasons = _reasons(best, candidates, baseline, batch)
    ordered = sorted(candidates, key=lambda candidate: -candidate.accuracy.mean)
    return Recommendation(best, reasons, tuple(ordered), baseline)


def _distinct(topologies: Iterable[Topology]) -> list[Topology]:
    """Without those that have the masks of an earlier one: they are the same network."""
    found: dict[tuple[object, ...], Topology] = {}
    for topology in topologies:
        branches = (tuple(map(_digest, branch)) for branch in topology.branches())
        # Branches are summed, so their order does not count.
        found.setdefault(tuple(sorted(branches)), topology)
    return list(found.values())


def _digest(mask: Mask) -> bytes:
    ordered = mask.copy()
    ordered.sort_indices()
    made = blake2b(repr(mask.shape).encode())
    made.update(ordered.indptr.astype("int64").tobytes())
    made.update(ordered.indices.astype("int64").tobytes())
    return made.digest()


def _judge(topology: Topology, accuracy: Estimate, latency: dict[int, Timing]) -> Candidate:
    free = freedom(topology)
    share = free.entries / (topology.in_features * topology.out_features)
    judged = tuple(requirements(topology))
    return Candidate(topology, judged, share, free.exact, accuracy, topology.edges, latency)


def pareto_front(candidates: Sequence[Candidate], batch: int) -> list[Candidate]:
    """The same candidates, marked: those that no other one dominates in the four objectives.

    Args:
        candidates: With latencies at batch 1 and at `batch`.
        batch: Batch size of the throughput.
    """

    def merits(item: Candidate) -> tuple[float, ...]:
        latency = item.latency[1].median_us
        return item.accuracy.mean, -item.parameters, -latency, item.throughput(batch)

    def dominates(one: Candidate, other: Candidate) -> bool:
        first, second = merits(one), merits(other)
        return first != second and all(a >= b for a, b in zip(first, second, strict=True))

    return [
        replace(item, on_front=not any(dominates(other, item) for other in candidates))
        for item in candidates
    ]


def choose(candidates: Sequence[Candidate], batch: int) -> Candidate:
    """The fastest of those that are sound and not significantly less accurate than the best.

    The variance is pooled over the sound ones only. With one seed nothing is significant or not:
    the most accurate is taken.
    """
    sound = [c for c in candidates if not {item.name for item in c.unmet} & set(_NEEDED)]
    eligible = sound or list(candidates)
    least = max(c.accuracy.mean for c in eligible) - significant_difference(
        [c.accuracy for c in eligible]
    )
    close = [c for c in eligible if c.accuracy.mean >= least]
    return min(close, key=lambda candidate: candidate.latency[batch].median_us)


def _reasons(
    best: Candidate, candidates: Sequence[Candidate], dense: Candidate, batch: int
) -> tuple[str, ...]:
    most = max(candidates, key=lambda candidate: candidate.accuracy.mean)
    accuracy = best.accuracy
    tested = accuracy.count > 1
    interval = f" ({accuracy.low:.2%} to {accuracy.high:.2%})" if tested else ""
    over = f"{accuracy.count} seeds" if tested else "one seed"
    compared = (
        "the most accurate of all candidates"
        if most.accuracy.mean == accuracy.mean
        else f"the most accurate candidate, {most.topology}, reaches {most.accuracy.mean:.2%}"
    )
    unmet = ", ".join(item.name for item in best.unmet) or "none"
    bound = "" if best.freedom_exact else "at most "
    reasons = [f"accuracy {accuracy.mean:.2%}{interval} over {over}; {compared}"]
    if not tested:
        reasons.append("accuracies were not tested for significance: one seed has no variance")
    if best.topology == dense.topology:
        reasons.append("no sparse topology fits the budget")
    else:
        seen = [c.accuracy for c in (*candidates, dense)]
        reasons += [
            *_passed_over(best, candidates),
            _against_accuracy(best, dense, significant_difference(seen)),
            _against_latency(best, dense, batch),
        ]
    return (
        *reasons,
        f"{best.parameters:,} weights, {best.topology.density:.1%} of the dense layer's; "
        f"{bound}{best.freedom:.1%} of its entries can be prescribed at once",
        f"requirements that it does not meet: {unmet}",
    )


def _passed_over(best: Candidate, candidates: Sequence[Candidate]) -> list[str]:
    """Names the candidates that were not considered, whatever they reach."""
    unsound = {
        str(c.topology): [item.name for item in c.unmet if item.name in _NEEDED] for c in candidates
    }
    texts = [f"{text} ({' and '.join(names)})" for text, names in unsound.items() if names]
    if not texts or unsound[str(best.topology)]:
        return []
    return [f"not considered, for what they do not meet: {', '.join(texts)}"]


def _against_accuracy(best: Candidate, dense: Candidate, least: float) -> str:
    reached = f"the dense layer reaches {dense.accuracy.mean:.2%}"
    more = dense.accuracy.mean - best.accuracy.mean
    if more <= 0:
        return f"{reached}: not more accurate"
    if min(best.accuracy.count, dense.accuracy.count) < 2:
        return f"{reached}: it is more accurate, not tested for significance"
    kind = "significantly" if more > least else "not significantly"
    return f"{reached}: it is more accurate, {kind}"


def _against_latency(best: Candidate, dense: Candidate, batch: int) -> str:
    parts, faster = [], []
    for size in sorted({1, batch}):
        taken, baseline = (c.latency[size].median_us for c in (best, dense))
        parts.append(
            f"{taken:,.1f} us at batch {size}, the dense layer takes {baseline:,.1f} us: "
            f"{baseline / taken:.2g}x"
        )
        faster += [str(size)] if baseline < taken else []
    advice = f"; the dense layer is faster at batch {' and '.join(faster)}" if faster else ""
    return f"latency {'; '.join(parts)}{advice}"

"""Which topology to train for a layer of given widths and budget, and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nfcompile.bench.statistics import Timing
from nfcompile.study.latency import measure_latency
from nfcompile.study.summary import Estimate, estimate, significant_difference
from nfcompile.study.sweep import run_tasks
from nfcompile.study.tasks import run_task, train_tasks
from nfcompile.topology import Dense, Topology
from nfcompile.topology.fit import fit_all
from nfcompile.topology.jacobian import jacobian_rank
from nfcompile.topology.requirements import Requirement, requirements

__all__ = ["Candidate", "Recommendation", "pareto_front", "recommend"]

_NEEDED = ("reachability", "bandwidth")
_EXACT = 1 << 22


@dataclass(frozen=True)
class Candidate:
    """One topology and all that is known of it.

    Attributes:
        topology: What it is.
        requirements: Met or not, with the numbers.
        freedom: The heuristic that needs no training: how many entries of the effective matrix
            can be prescribed at once, as a share of all entries. Of large layers the bound
            that each hidden neuron costs one weight.
        accuracy: On the test set, over seeds.
        parameters: Weights of one layer.
        latency: Of the compiled layer, by batch size.
        on_front: Whether no other candidate is at least as accurate and as fast, and better in
            one of the two.
    """

    topology: Topology
    requirements: tuple[Requirement, ...]
    freedom: float
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
        candidates: All that fit the budget, most accurate first.
        dense: Latency of the dense layer of these widths, by batch size.
    """

    best: Candidate
    reasons: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    dense: dict[int, Timing]


def recommend(
    in_features: int,
    out_features: int,
    edges: int,
    *,
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
    requirements, they do not count.

    Args:
        in_features: Number of inputs of the layer.
        out_features: Number of outputs of the layer.
        edges: The most weights of the layer.
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
    topologies = fit_all(in_features, out_features, edges)
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
    accuracies = [estimate([next(records)["result"]["accuracy"] for _ in group]) for group in tasks]
    batches = sorted({1, batch})
    dense = Dense(in_features, out=out_features)
    *latencies, baseline = measure_latency(
        [*topologies, dense], batches, threads=threads, progress=progress
    )
    found: list[Candidate] = []
    for topology, accuracy, latency in zip(topologies, accuracies, latencies, strict=True):
        progress(f"judging {topology}")
        judged = tuple(requirements(topology))
        found.append(
            Candidate(topology, judged, _freedom(topology), accuracy, topology.edges, latency)
        )
    found = pareto_front(found, batch)
    best = choose(found, batch)
    reasons = _reasons(best, found, baseline, batch)
    ordered = sorted(found, key=lambda candidate: -candidate.accuracy.mean)
    return Recommendation(best, reasons, tuple(ordered), baseline)


def _freedom(topology: Topology) -> float:
    """The Jacobian's rank, or its bound, which topologies with dense middles do not reach."""
    entries = topology.in_features * topology.out_features
    if topology.edges * entries <= _EXACT:
        return jacobian_rank(topology) / entries
    hidden = sum(b.shape[0] for branch in topology.branches() for b in branch[:-1])
    return min(1.0, (topology.edges - hidden) / entries)


def pareto_front(candidates: Sequence[Candidate], batch: int) -> list[Candidate]:
    """The same candidates, marked: best in accuracy, in latency at a batch size, or between."""
    from dataclasses import replace

    def dominates(one: Candidate, other: Candidate) -> bool:
        first = one.accuracy.mean, -one.latency[batch].median_us
        second = other.accuracy.mean, -other.latency[batch].median_us
        return first != second and all(a >= b for a, b in zip(first, second, strict=True))

    return [
        replace(item, on_front=not any(dominates(other, item) for other in candidates))
        for item in candidates
    ]


def choose(candidates: Sequence[Candidate], batch: int) -> Candidate:
    """The fastest of those that are sound and not significantly less accurate than the best."""
    sound = [c for c in candidates if not {item.name for item in c.unmet} & set(_NEEDED)]
    eligible = sound or list(candidates)
    least = max(c.accuracy.mean for c in eligible) - significant_difference(
        [c.accuracy for c in candidates]
    )
    close = [c for c in eligible if c.accuracy.mean >= least]
    return min(close, key=lambda candidate: candidate.latency[batch].median_us)


def _reasons(
    best: Candidate, candidates: Sequence[Candidate], dense: dict[int, Timing], batch: int
) -> tuple[str, ...]:
    most = max(candidates, key=lambda candidate: candidate.accuracy.mean)
    accuracy = best.accuracy
    interval = f"{accuracy.mean:.2%} ({accuracy.low:.2%} to {accuracy.high:.2%})"
    compared = (
        "the most accurate of all"
        if most is best
        else f"the most accurate, {most.topology}, reaches {most.accuracy.mean:.2%}"
    )
    taken, baseline = best.latency[batch].median_us, dense[batch].median_us
    unmet = ", ".join(item.name for item in best.unmet) or "none"
    slower = "; where speed counts, train a dense layer" if taken > baseline else ""
    return (
        f"accuracy {interval} over {accuracy.count} seeds; {compared}",
        f"latency {taken:.0f} us at batch {batch}, the dense layer takes {baseline:.0f} us: "
        f"{baseline / taken:.1f}x{slower}",
        f"{best.parameters} weights, {best.topology.density:.1%} of the dense layer's; "
        f"up to {best.freedom:.1%} of its entries can be prescribed at once",
        f"requirements that it does not meet: {unmet}",
    )

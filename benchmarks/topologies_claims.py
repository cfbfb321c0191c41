"""The seed papers' claims, each with a rule that decides it from what was measured."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats
from topologies_statistics import difference, holm, pooled_correlation

from nfcompile.study.prediction import distinct
from nfcompile.study.recommend import Recommendation
from nfcompile.study.statistics import Estimate
from nfcompile.study.summary import METRICS, Outcome, without_skip
from nfcompile.topology import parse
from nfcompile.topology.bandwidth import bandwidth
from nfcompile.topology.fit import TOLERANCE
from nfcompile.topology.requirements import requirements

__all__ = ["CLAIMS", "Claim", "by_budget", "pooled", "same"]

BUDGETS = (768, 1024, 1536, 3072, 8192, 20480)
SIGNIFICANT = 0.05
MARGIN = 0.01
MEMBER = "parallel-butterfly(n=64, radix=4, parallel=2)"
CLOS = "clos(n=256, m=16, q=16)"
WANTED = {"l2": -1, "l1": -1, "l0": 1, "rank": 1}
"""The sign that the correlation of a good predictor has."""

Cells = dict[tuple[str, int | None], list[Outcome]]


@dataclass(frozen=True)
class Claim:
    """One row of the table.

    Attributes:
        source: Which abstract states it.
        text: What it states.
        verdict: Reproduced, not reproduced, or not decidable here.
        figures: What decides it.
    """

    source: str
    text: str
    verdict: str
    figures: str


def same(text: str) -> str:
    """The text of a topology without its skip."""
    return without_skip(text).replace(", skip=false", "")


def short(setting: str) -> str:
    """The number of layers, which is all that differs."""
    return setting.split(", ")[1]


def by_budget(outcomes: Sequence[Outcome]) -> Cells:
    """Trained outcomes by setting and budget; those that use no budget come under None."""
    cells: Cells = defaultdict(list)
    for outcome in outcomes:
        if outcome.accuracy is not None:
            fits = [b for b in BUDGETS if (1 - TOLERANCE) * b <= outcome.edges <= b]
            named = outcome.kind == "dense" or same(outcome.topology) == CLOS
            cells[outcome.setting, fits[0] if fits and not named else None].append(outcome)
    return dict(sorted(cells.items(), key=lambda item: (item[0][0], item[0][1] or 1 << 30)))


def pooled(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], tuple[float, float, int]]:
    """For each setting and metric the correlation with accuracy without skip, within budgets."""
    cells = by_budget(outcomes)
    found: dict[tuple[str, str], tuple[float, float, int]] = {}
    for setting in dict.fromkeys(setting for setting, _ in cells):
        plain = [
            [o for o in distinct(group) if o.heuristic and not o.skip]
            for (other, budget), group in cells.items()
            if other == setting and budget is not None
        ]
        for metric in METRICS:
            pairs = [
                ([o.heuristic[metric].mean for o in g], [o.accuracy.mean for o in g]) for g in plain
            ]
            found[setting, metric] = pooled_correlation(pairs)
    return found


def _bandwidth(*_: Any) -> Claim:
    cells = []
    for n in (64, 1024, 16384):
        topology = parse(f"parallel-butterfly(n={n}, radix=4, parallel=2)")
        cells.append(
            f"n={n}: {topology.edges:,} edges instead of {n * n:,}, {bandwidth(topology):,}"
        )
    return Claim(
        "2020",
        "Dense layers grow quadratically with their information bandwidth; sparse ones keep the "
        "bandwidth at lower cost",
        "reproduced, by construction",
        "Signals that pass every cut (maximum flow), parallel butterflies: " + "; ".join(cells),
    )


def _cascade(outcomes: Sequence[Outcome], *_: Any) -> Claim:
    plain = {same(o.topology): o for o in outcomes if not o.skip and ", 2 layers" in o.setting}
    clos, dense = plain[CLOS], plain["dense(n=256)"]
    delta, half, _p = difference(clos.accuracy, dense.accuracy)
    as_good, worse = delta - half > -MARGIN, delta + half < -MARGIN
    verdict = "reproduced" if as_good else "not reproduced" if worse else "not decidable here"
    topology = parse(CLOS)
    return Claim(
        "2020; Clos with 5 to 10 times fewer connections is ClosNets'",
        "A dense layer is replaced by a cascade of sparse ones, the rest stays unchanged",
        f"{verdict}, on digits",
        f"`{CLOS}`, {dense.edges / clos.edges:.1f} times fewer edges, {bandwidth(topology)} "
        f"signals pass: {clos.accuracy.mean:.1%}; dense {dense.accuracy.mean:.1%}; difference "
        f"{delta * 100:+.1f} ± {half * 100:.1f} points, as good if surely above "
        f"{-MARGIN * 100:.0f}",
    )


def _initialization(_: Any, cascades: Sequence[dict[str, Any]], *__: Any) -> Claim:
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for record in cascades:
        key = record["task"]["topology"], record["task"]["init"]
        found[key].append(record["result"]["accuracy"])
    texts = sorted({topology for topology, _ in found})
    ours = [Estimate(tuple(found[text, "fan_in"])) for text in texts]
    dense = [Estimate(tuple(found[text, "dense"])) for text in texts]
    works = all(a.low > b.high for a, b in zip(ours, dense, strict=True))
    cells = [
        f"`{text}`: {a.mean:.1%}, with a dense initialization {b.mean:.1%}"
        for text, a, b in zip(texts, ours, dense, strict=True)
    ]
    return Claim(
        "2020",
        "A sparse initialization lets very deep sparse networks train",
        "reproduced, with an initialization of ours" if works else "not reproduced",
        "64 factors in one cascade, accuracy on digits. " + "; ".join(cells),
    )


def _differ(outcomes: Sequence[Outcome], *_: Any) -> Claim:
    cells = {
        key: [o for o in found if not o.skip]
        for key, found in by_budget(outcomes).items()
        if key[1] is not None
    }
    p_values = holm(
        [stats.f_oneway(*(o.accuracy.samples for o in found)).pvalue for found in cells.values()]
    )
    texts = []
    for ((setting, budget), found), p_value in zip(cells.items(), p_values, strict=True):
        best = max(found, key=lambda o: o.accuracy.mean)
        worst = min(found, key=lambda o: o.accuracy.mean)
        gap = (best.accuracy.mean - worst.accuracy.mean) * 100
        texts.append(
            f"{budget} edges, {short(setting)}: {gap:.1f} points from `{same(worst.topology)}` to "
            f"`{same(best.topology)}` (p {p_value:.2g})"
        )
    apart = sum(p < SIGNIFICANT for p in p_values)
    return Claim(
        "2020",
        "Topologies that look similar differ a lot in attainable accuracy",
        f"not decidable here what is a lot; they differ in {apart} of {len(cells)} cases",
        "Analysis of variance over seeds at equal edges, without skip, Holm's correction. "
        + "; ".join(texts),
    )


def _heuristic(outcomes: Sequence[Outcome], *_: Any) -> Claim:
    found = {key: value for key, value in pooled(outcomes).items() if value[2]}
    adjusted = dict(zip(found, holm([p for _, p, _ in found.values()]), strict=True))
    good = [
        f"{metric} at {short(setting)}"
        for (setting, metric), (rho, _, _) in found.items()
        if rho * WANTED[metric] > 0 and adjusted[setting, metric] < SIGNIFICANT
    ]
    cells = [
        f"{metric} {rho:+.2f} (p {adjusted[setting, metric]:.2g}, {short(setting)}, {count})"
        for (setting, metric), (rho, _, count) in found.items()
    ]
    return Claim(
        "2020",
        "A data-free heuristic judges a topology without a data set",
        "not decidable here: theirs is unknown; ours predicts by "
        f"{', '.join(good) or 'nothing'}, of {len(found)} pairs of metric and depth",
        "Spearman's rho with accuracy without skip, within budgets, p by permutation within "
        "budgets and Holm's correction, number of topologies: " + ", ".join(cells),
    )


def _requirements(*_: Any) -> Claim:
    unmet = [r.name for r in requirements(parse(MEMBER)) if not r.met]
    return Claim(
        "2020 and 2022",
        "Requirements of a good topology are derived; parallel butterflies with skip meet all",
        "not decidable here: theirs are unknown",
        f"Of our six (below) `{MEMBER}` with skip does not meet: {', '.join(unmet) or 'none'}",
    )


def _best(outcomes: Sequence[Outcome], *_: Any) -> Claim:
    cells = {key: found for key, found in by_budget(outcomes).items() if key[1] is not None}
    texts: list[str] = []
    p_values, deltas, without = [], [], []
    for (setting, budget), found in cells.items():
        ours = [o for o in found if o.kind == "parallel-butterfly" and o.skip]
        if not ours:
            without.append(f"{budget} ({short(setting)})")
            continue
        mine = max(ours, key=lambda o: o.accuracy.mean)
        rival = max((o for o in found if o not in ours), key=lambda o: o.accuracy.mean)
        delta, half, p_value = difference(mine.accuracy, rival.accuracy)
        deltas.append(delta)
        p_values.append(p_value)
        texts.append(
            f"{budget} edges, {short(setting)}: {mine.accuracy.mean:.1%}, {delta * 100:+.1f} ± "
            f"{half * 100:.1f} points to the best other, `{rival.topology}`"
        )
    sure = [p < SIGNIFICANT for p in holm(p_values)]
    ahead = sum(s and d > 0 for s, d in zip(sure, deltas, strict=True))
    behind = sum(s and d < 0 for s, d in zip(sure, deltas, strict=True))
    count = len(deltas)
    verdict = (
        "reproduced" if ahead == count else "not reproduced" if behind else "not decidable here"
    )
    return Claim(
        "2022",
        "Parallel butterflies with skip connections achieve the best accuracy independent of "
        "sparsity or depth",
        f"{verdict}, on digits: surely best in {ahead}, surely not in {behind} of {count} cases",
        "Best parallel butterfly with skip against the best of all others, Welch's interval. "
        + "; ".join(texts)
        + f". No parallel butterfly uses these budgets: {', '.join(without) or 'none'}",
    )


def _objectives(_: Any, __: Any, recommendation: Recommendation) -> Claim:
    front = [c for c in recommendation.candidates if c.on_front]
    return Claim(
        "2022",
        "A search over six objectives: accuracy, parameters, throughput, latency, power, area",
        "reproduced for four; power and area are not decidable here",
        f"`topology recommend` at 1024 to 1024: {len(front)} of {len(recommendation.candidates)} "
        "candidates on the Pareto front of accuracy, parameters, latency and throughput",
    )


CLAIMS: tuple[Callable[..., Claim], ...] = (
    _bandwidth, _cascade, _initialization, _differ, _heuristic, _requirements, _best, _objectives,
)  # fmt: skip

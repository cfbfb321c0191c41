"""A suite in short: geometric means over batches, case by case, and over all perceptrons."""

from collections.abc import Iterable, Sequence

from nfcompile.bench.contenders import REFERENCE
from nfcompile.bench.markdown import head, line, ratio
from nfcompile.bench.ratios import OURS, Row, geometric_mean

__all__ = ["summarize"]

_TWINS = (REFERENCE, "ort-int8", "portable")
_PEERS = ("deepsparse", REFERENCE)
_DENSITIES = ("0.10", "0.05")


def summarize(rows: Sequence[Row]) -> Iterable[str]:
    """Paragraphs of Markdown.

    Args:
        rows: Of a whole suite.
    """
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.case, row.threads), []).append(row)
    twins = [f"× {name}" for name in _TWINS]
    yield "Geometric means over batches; `lost` counts the batches at which a peer is faster."
    lines = [head(["case", "threads", "fp32 ×", "lost", "bf16 ×", "lost", *twins])]
    for (case, threads), own in groups.items():
        cells = [case, str(threads)]
        for ratios in ([row.fp32 for row in own], [row.narrow for row in own]):
            lost = sum(value is not None and value < 1 for value in ratios)
            cells += [ratio(geometric_mean(ratios)), str(lost) if any(ratios) else ""]
        cells += [ratio(_mean(own, twin)) for twin in _TWINS]
        lines.append(line(cells))
    yield "\n".join(lines)
    for density in _DENSITIES:
        for threads in dict.fromkeys(row.threads for row in rows):
            mlps = [row for row in rows if _is_mlp(row, density) and row.threads == threads]
            means = {peer: _mean(mlps, peer) for peer in _PEERS}
            told = [f"{mean:.2f}x {peer}" for peer, mean in means.items() if mean is not None]
            if told:
                yield (
                    f"Geometric mean over mlp-* at density {density}, {threads} thread(s): "
                    f"{' and '.join(told)}."
                )


def _mean(rows: Sequence[Row], peer: str) -> float | None:
    return geometric_mean([row.ratio(OURS, peer) for row in rows])


def _is_mlp(row: Row, density: str) -> bool:
    return row.case.startswith("mlp-") and row.case.endswith(density)

"""Tables and figures of docs/topologies.md."""

from collections.abc import Iterable, Sequence

from nfcompile.study.statistics import Estimate

__all__ = ["interval", "table"]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def interval(found: Estimate | None, percent: bool = True) -> str:
    """Mean and the half width of its 95 % interval."""
    if found is None:
        return ""
    half = found.high - found.mean
    if percent:
        return f"{found.mean:.1%} ± {half * 100:.1f}"
    return f"{found.mean:.3f} ± {half:.3f}"

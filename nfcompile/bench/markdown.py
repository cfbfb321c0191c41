"""Pieces of Markdown tables."""

from collections.abc import Sequence

__all__ = ["LOSS", "head", "line", "ratio"]

LOSS = " ✗"
"""What marks a ratio below 1."""


def head(titles: Sequence[str]) -> str:
    """The two lines that open a table."""
    return f"{line(titles)}\n{'|---' * len(titles)}|"


def line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def ratio(value: float | None) -> str:
    """A ratio, marked if it is below 1; empty for None."""
    return "" if value is None else f"{value:.2f}{LOSS if value < 1 else ''}"

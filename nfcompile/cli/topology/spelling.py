"""How the verbs on topologies spell numbers, and read topologies that they can handle."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nfcompile.errors import InputError

if TYPE_CHECKING:
    from nfcompile.study.statistics import Estimate
    from nfcompile.topology import Topology
    from nfcompile.topology.requirements import Requirement

__all__ = ["finite", "interval", "met", "percent", "read_topology"]

_MOST_EDGES = 1 << 27


def read_topology(text: str, widths: tuple[int, int] | None) -> "Topology":
    """A topology from its text, with these widths where it says none.

    Raises:
        InputError: If the text is wrong, or the masks would take gigabytes.
    """
    from nfcompile.topology import parse

    ends = widths or (None, None)
    topology = parse(text, in_features=ends[0], out_features=ends[1])
    # Masks of so few edges can still be wide: neurons count as well.
    if max(topology.edges, sum(topology.layer_widths)) > _MOST_EDGES:
        raise InputError(
            f"{topology} has {topology.edges:,} edges, more than the {_MOST_EDGES:,} that can be "
            "judged: take a smaller member of the same kind"
        )
    return topology


def interval(value: "Estimate | None") -> str:
    """`0.123 (0.120 to 0.126)`; a dash if there is none."""
    if value is None:
        return "-"
    if value.count == 1:
        return f"{value.mean:.4f}"
    return f"{value.mean:.4f} ({value.low:.4f} to {value.high:.4f})"


def percent(value: "Estimate | None") -> str:
    """`97.2 % (96.8 to 97.6)`; a dash if there is none."""
    if value is None:
        return "-"
    if value.count == 1:
        return f"{value.mean:.1%}"
    return f"{value.mean:.1%} ({100 * value.low:.1f} to {100 * value.high:.1f})"


def met(requirements: "Iterable[Requirement]") -> str:
    """How many requirements are met, and the names of those that are not."""
    listed = [*requirements]
    unmet = [item.name for item in listed if not item.met]
    return f"{len(listed) - len(unmet)} of {len(listed)}" + (
        f", not {', '.join(unmet)}" if unmet else ""
    )


def finite(data: Any) -> Any:
    """The same data with None for what is no finite number, which JSON cannot say."""
    if isinstance(data, Mapping):
        return {str(key): finite(value) for key, value in data.items()}
    if isinstance(data, (tuple, list)):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data

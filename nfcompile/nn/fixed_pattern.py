"""Loading state into layers whose pattern is given by a topology.

A `SparseLinear` alone takes the pattern of the state, which may be all that is known of it. Below
a topology another pattern would contradict the module's own name, masks and text.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nfcompile.nn.sparse_linear import Pattern, SparseLinear, canonical
from nfcompile.topology import Topology

__all__ = ["keep_pattern"]


class _Patterned(Protocol):
    topology: Topology

    def patterns(self) -> Iterable[tuple[str, SparseLinear, Pattern]]:
        """Name below the module, layer, and mask `[out_features, in_features]` of each factor."""


def keep_pattern(module: nn.Module) -> None:
    """Makes `load_state_dict` of a module refuse other connections than its topology's.

    Also a load that is not strict is refused; the factors in question keep their own tensors.

    Args:
        module: Has `topology` and `patterns()`.
    """
    module.register_load_state_dict_pre_hook(_refuse_other_patterns)  # type: ignore[no-untyped-call]


def _refuse_other_patterns(
    module: Any, state: dict[str, Any], prefix: str, *arguments: Any
) -> None:
    errors: list[str] = arguments[-1]
    owner: _Patterned = module
    for name, layer, mask in owner.patterns():
        where = f"{prefix}{name}."
        if _fits(layer, mask, state, where):
            continue
        errors.append(
            f"the connections of factor {where.removesuffix('.')} must be those of "
            f"{owner.topology}, got others: make the module with the topology that the state was "
            "saved from"
        )
        for part in ("indptr", "indices", "values"):
            state[where + part] = getattr(layer, part)


def _fits(layer: SparseLinear, mask: Pattern, state: dict[str, Any], where: str) -> bool:
    """Whether the state has the mask's pattern; what is missing is left for torch to tell."""
    own = canonical(mask, (layer.out_features, layer.in_features))
    given = (state.get(where + part) for part in ("indptr", "indices"))
    return all(
        tensor is None or tensor.is_meta or _equal(tensor, torch.from_numpy(array))
        for tensor, array in zip(given, own, strict=True)
    )


def _equal(given: Tensor, own: Tensor) -> bool:
    return torch.equal(given.detach().cpu().long(), own.long())

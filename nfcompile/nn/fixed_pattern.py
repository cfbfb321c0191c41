"""Loading state into a layer whose pattern is given by its topology.

A `SparseLinear` alone takes the pattern of the state, which may be all that is known of it. Below
a topology another pattern would contradict the module's own name, masks and text.
"""

from typing import Any

import torch
from torch import Tensor

from nfcompile.nn.sparse_linear import Pattern, SparseLinear, canonical

__all__ = ["refuse_other_pattern"]


def refuse_other_pattern(
    layer: SparseLinear,
    mask: Pattern,
    state: dict[str, Any],
    prefix: str,
    topology: object,
    errors: list[str],
) -> None:
    """Appends an error, and lets the layer be, if the state has another pattern than the mask.

    Args:
        layer: The factor about to be loaded.
        mask: Its pattern in the topology, `[out_features, in_features]`.
        state: Tensors by name; those of a factor that is refused become the layer's own, so that
            a failed load leaves it as it was. What is missing is left for torch to tell.
        prefix: Of the layer's names in the state, with the dot.
        topology: Named in the message.
        errors: Messages, one line each.
    """
    own = dict(zip(("indptr", "indices"), canonical(mask, _shape(layer)), strict=True))
    given = {name: state.get(prefix + name) for name in own}
    if all(
        tensor is None or tensor.is_meta or _equal(tensor, torch.from_numpy(own[name]))
        for name, tensor in given.items()
    ):
        return
    errors.append(
        f"the connections of factor {prefix.removesuffix('.')} must be those of {topology}, "
        "got others: make the module with the topology that the state was saved from"
    )
    for name in (*own, "values"):
        state[prefix + name] = getattr(layer, name)


def _shape(layer: SparseLinear) -> tuple[int, int]:
    return layer.out_features, layer.in_features


def _equal(given: Tensor, own: Tensor) -> bool:
    return torch.equal(given.detach().cpu().long(), own.long())

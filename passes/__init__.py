"""The passes: one file each. Here they are listed, and the default pipelines spelled as text."""

from collections.abc import Callable, Collection, Mapping
from functools import partial

import onnx_ir as ir
from onnx_ir.passes import common

from nfcompile.errors import InputError, closest
from nfcompile.ir.pass_base import Pass
from nfcompile.passes.canonicalize import CanonicalizePass
from nfcompile.passes.collapse_products import CollapseProductsPass
from nfcompile.passes.drop_dead_units import DropDeadUnitsPass
from nfcompile.passes.encode_weights import EncodeWeightsPass
from nfcompile.passes.fold_batch_norm import FoldBatchNormPass
from nfcompile.passes.fold_masks import FoldMasksPass
from nfcompile.passes.fuse_attention import FuseAttentionPass
from nfcompile.passes.fuse_chains import FuseChainsPass
from nfcompile.passes.fuse_epilogue import FuseEpiloguePass
from nfcompile.passes.identity_elimination import IdentityEliminationPass
from nfcompile.passes.infer_shapes import InferShapesPass
from nfcompile.passes.inline import InlinePass
from nfcompile.passes.legalize_ort_cpu import LegalizeOrtCpuPass
from nfcompile.passes.legalize_ort_cuda import LegalizeOrtCudaPass
from nfcompile.passes.legalize_portable import LegalizePortablePass
from nfcompile.passes.merge_duplicates import MergeDuplicatesPass
from nfcompile.passes.unflatten_products import UnflattenProductsPass

__all__ = ["OWN_PASSES", "PASSES", "default_pipeline"]

OWN_PASSES: tuple[type[Pass], ...] = (
    CanonicalizePass,
    CollapseProductsPass,
    DropDeadUnitsPass,
    EncodeWeightsPass,
    FoldBatchNormPass,
    FoldMasksPass,
    FuseAttentionPass,
    FuseChainsPass,
    FuseEpiloguePass,
    IdentityEliminationPass,
    InferShapesPass,
    InlinePass,
    LegalizeOrtCpuPass,
    LegalizeOrtCudaPass,
    LegalizePortablePass,
    MergeDuplicatesPass,
    UnflattenProductsPass,
)
"""The passes of this project."""

PASSES: Mapping[str, Callable[..., ir.passes.PassBase]] = {
    **{item.name: item for item in OWN_PASSES},
    "common-subexpressions": common.CommonSubexpressionEliminationPass,
    "deduplicate-initializers": common.DeduplicateHashedInitializersPass,
    "lift-constants": partial(
        common.LiftConstantsToInitializersPass, lift_all_constants=True, size_limit=0
    ),
    "remove-initializers-from-inputs": common.RemoveInitializersFromInputsPass,
    "remove-unused": common.RemoveUnusedNodesPass,
    "remove-unused-functions": common.RemoveUnusedFunctionsPass,
}
"""Every pass by its name in pipeline text: our own, and onnx-ir's common ones."""

_FRONT = (
    "inline,remove-unused-functions,lift-constants,identity-elimination,fold-masks,infer-shapes,"
    "canonicalize,fold-masks,remove-unused,infer-shapes,fold-batch-norm,identity-elimination"
)
_ALGEBRA = ("drop-dead-units", "merge-duplicates", "collapse-products")
_LEGALIZE = {
    "ort-cpu": "legalize-ort-cpu,unflatten-products,fuse-epilogue,fuse-attention,fuse-chains",
    "ort-cuda": "legalize-ort-cuda,unflatten-products,fuse-epilogue",
    "portable": "legalize-portable",
}
_BACK = "canonicalize{restore=true},fold-masks,identity-elimination,remove-unused"


def default_pipeline(
    target: str, threads: int, precision: str = "fp32", *, without: Collection[str] = ()
) -> str:
    """The pipeline for a target, as text.

    Args:
        target: `ort-cpu`, `ort-cuda` or `portable`.
        threads: Threads per inference that costs are estimated for.
        precision: `fp32` or `bf16`: of sparse weights.
        without: Passes of algebra to leave out: `collapse-products` and the like.

    Raises:
        InputError: If a pass to leave out is not one of those.
    """
    for name in without:
        if name not in _ALGEBRA:
            raise InputError(f"pass {name!r} cannot be left out: {closest(name, _ALGEBRA)}")
    machine = f"{{target={target},threads={threads},precision={precision}}}"
    algebra = [f"{name}{machine}" for name in _ALGEBRA if name not in without]
    return ",".join([_FRONT, *algebra, f"encode-weights{machine}", _LEGALIZE[target], _BACK])

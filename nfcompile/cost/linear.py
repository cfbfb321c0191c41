"""What a linear layer costs: microseconds per call, from measured constants.

    time(batch) = overhead + batch * (stored * ns_per_mac + (in + out) * ns_per_io) / threads

Both constants depend on batch and size (see `calibration.py`): small batches are bound by reading
the weight, large ones by arithmetic, which is never taken to be faster than in a dense product.

A GPU has a model of its own: `gpu.py`.
"""

import math

import onnx_ir as ir

from nfcompile.cost import gpu
from nfcompile.cost.calibration import Constants, constants
from nfcompile.ir.candidates import Candidate
from nfcompile.ir.convolution import Convolution
from nfcompile.ir.layer import Layer
from nfcompile.target import Target

__all__ = [
    "CUDA_BATCHES",
    "DEFAULT_BATCHES",
    "batches_of",
    "batches_of_layer",
    "estimate_gather_us",
    "estimate_us",
    "way_of_running",
]

DEFAULT_BATCHES = (1, 16, 64, 256)
"""Batch sizes that count where the model's batch is dynamic."""

CUDA_BATCHES = (1, 16, 256, 4096)
"""The same on a GPU."""

_OPEN_IMAGES = (1, 16)
_OPEN_SIZE = 28
_VECTOR_ROWS = 8


def batches_of(x: ir.Value, target: Target) -> tuple[int, ...]:
    """The batch of activations `x` if the model fixes it, else the sizes that count by default."""
    default = CUDA_BATCHES if target.name == "ort-cuda" else DEFAULT_BATCHES
    if x.shape is None:
        return default
    leading = x.shape.dims[:-1]
    sizes = [size for size in leading if isinstance(size, int)]
    return (max(1, math.prod(sizes)),) if len(sizes) == len(leading) else default


def batches_of_layer(layer: Layer, target: Target) -> tuple[int, ...]:
    """The batch of a layer; of a convolution, places of its window in all images.

    Where the number of images is open, 1 and 16 count; where their size is, that of 28 x 28.
    """
    if not isinstance(layer, Convolution):
        return batches_of(layer.x, target)
    shape = layer.node.outputs[0].shape
    dims = (None,) * 4 if shape is None else shape.dims
    places = math.prod(size if isinstance(size, int) else _OPEN_SIZE for size in dims[2:])
    images = (dims[0],) if isinstance(dims[0], int) else _OPEN_IMAGES
    return tuple(max(1, count * places) for count in images)


def estimate_us(candidate: Candidate, batch: int, target: Target) -> float:
    """Estimated microseconds of one call.

    Args:
        candidate: Encoding and shape of the weight.
        batch: Rows of the activations.
        target: Where it runs; threads are taken to share the work evenly.
    """
    if target.name == "ort-cuda":
        return gpu.estimate_us(candidate, batch, target)
    ways = constants(target.isa)
    way = way_of_running(candidate, target)
    costs, dense = ways[way], ways["dense"]
    # Fits of few points can make arithmetic free. It is never faster than the best dense product
    # is, or half of it in bf16; and the portable form is a dense product of blocks, at that
    # product's own rate.
    least = dense.rate(candidate.shape, batch) if way == "portable" else dense.ns_per_mac.min()
    least = least / 2 if target.precision == "bf16" else least
    single = costs.estimate_us(candidate.shape, candidate.stored, batch, float(least))
    return _shared(costs, single, target)


def estimate_gather_us(shape: tuple[int, int], batch: int, target: Target) -> float:
    """Estimated microseconds of ONNX Runtime's Gather along the features, on the CPU.

    It copies element by element, at the time of hundreds of multiply-adds for each.

    Args:
        shape: Features after and before.
        batch: Rows of the activations.
        target: Where it runs.
    """
    costs = constants(target.isa)["gather"]
    return _shared(costs, costs.estimate_us(shape, shape[0], batch), target)


def _shared(costs: Constants, single_us: float, target: Target) -> float:
    """Microseconds on all threads, of what takes `single_us` on one."""
    return costs.overhead_us + (single_us - costs.overhead_us) / target.threads


def way_of_running(candidate: Candidate, target: Target) -> str:
    """The entry of the calibration that this candidate falls under."""
    way = _fp32_way(candidate, target)
    return way if target.precision == "fp32" or way == "dense" else f"{way} {target.precision}"


def _fp32_way(candidate: Candidate, target: Target) -> str:
    if candidate.kind == "block-diagonal":
        if target.name == "portable":
            return "portable"
        return "block-diagonal" if candidate.regular else "block-diagonal permuted"
    if candidate.kind == "bsr":
        height, width = candidate.blocksize
        if height % _VECTOR_ROWS:
            return "bsr narrow"
        return "bsr" if width >= _VECTOR_ROWS else "bsr thin"
    return candidate.kind

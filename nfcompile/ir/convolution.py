"""Convolutions whose weight can be sparse, seen as products over the windows of images.

Y[n, o, p] = sum_c,k W[o, c, k] X[n, c, p * strides + k * dilations - pads] + B[o]

As a matrix W is (out, channels * window), with feature c * window + k. Groups make it
block-diagonal: its rows of one group see that group's channels only.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import scipy.sparse

from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.external_tensors import release
from nfcompile.ir.layer import Layer
from nfcompile.ir.linear import constant
from nfcompile.sparse import CsrTensor, Encoding

__all__ = ["Convolution", "match_convolution"]

_AXES = 2


@dataclass(frozen=True)
class Convolution(Layer):
    """One two-dimensional Conv with a constant weight: a view of its node.

    Activations are images (n, channels, height, width), the weight has shape
    (out, channels / group, height, width).

    Attributes:
        pads: In front of both axes, then behind them, whatever way the node spells them.
    """

    pads: tuple[int, ...]

    @property
    def group(self) -> int:
        """Number of groups."""
        return self.node.attributes.get_int("group", 1)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the constant."""
        return _shape(self.weight)

    @property
    def dense_shape(self) -> tuple[int, int]:
        """(out, in) of what a dense convolution multiplies."""
        out_features, *rest = self.weight_shape
        return out_features, math.prod(rest)

    @property
    def out_in(self) -> tuple[int, int]:
        """(out, in) of the matrix that sees all channels."""
        out_features, in_features = self.dense_shape
        return out_features, self.group * in_features

    @property
    def way(self) -> Hashable:
        """The number of groups."""
        return "convolution", self.group

    @property
    def window(self) -> dict[str, tuple[int, ...]]:
        """kernel_shape, strides, dilations and pads, as attributes of our operators."""
        attributes = self.node.attributes
        return {
            "kernel_shape": self.weight_shape[2:],
            "strides": tuple(attributes.get_ints("strides", (1,) * _AXES)),
            "dilations": tuple(attributes.get_ints("dilations", (1,) * _AXES)),
            "pads": self.pads,
        }

    def csr(self) -> CsrTensor:
        """The non-zeros of the matrix."""
        tensor = self.weight.const_value
        assert tensor is not None
        csr = CsrTensor.from_dense(tensor.numpy().reshape(self.dense_shape))
        release(tensor)
        if self.group == 1:
            return csr
        out_features, width = self.dense_shape
        indices = csr.indices + csr.rows() // (out_features // self.group) * width
        parts = (csr.values, indices, csr.indptr)
        return CsrTensor.from_scipy(scipy.sparse.csr_array(parts, shape=self.out_in))

    def encoded(self, encoding: Encoding, precision: str = "fp32") -> EncodedTensor:
        """The constant over an encoding of the matrix."""
        name, shape = self.weight.name, self.weight_shape
        return EncodedTensor(encoding, name=name, precision=precision, shape=shape)


def match_convolution(node: ir.Node) -> Convolution | str | None:
    """`node` as a convolution; None if it is none, a reason if one cannot be made of it."""
    if node.domain not in ("", "ai.onnx") or node.op_type != "Conv":
        return None
    weight = node.inputs[1]
    if weight is None or constant(weight) is None:
        return f"weight {weight.name} is not constant" if weight is not None else None
    shape = _shape(weight)
    if len(shape) != _AXES + 2:
        return f"its images have {len(shape) - 2} axes, kernels take {_AXES}"
    if shape[1] == 1 and node.attributes.get_int("group", 1) > 1:
        return "depthwise convolutions are the runtime's own"
    pads = _pads(node, shape[2:])
    return pads if isinstance(pads, str) else Convolution(node, pads)


def _pads(node: ir.Node, kernel: tuple[int, ...]) -> tuple[int, ...] | str:
    attributes = node.attributes
    auto = attributes.get_string("auto_pad", "NOTSET")
    if auto == "NOTSET":
        pads = tuple(attributes.get_ints("pads", (0,) * (2 * _AXES)))
        return pads if min(pads) >= 0 else "its pads are negative"
    if auto == "VALID":
        return (0,) * (2 * _AXES)
    assert node.inputs[0] is not None
    shape = node.inputs[0].shape
    sizes = [None] * _AXES if shape is None else shape.dims[2:]
    strides = attributes.get_ints("strides", (1,) * _AXES)
    dilations = attributes.get_ints("dilations", (1,) * _AXES)
    totals = []
    for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        reach = dilation * (width - 1) + 1
        if stride == 1:
            totals.append(reach - 1)
        elif isinstance(size, int):
            places = -(-size // stride)
            totals.append(max((places - 1) * stride + reach - size, 0))
        else:
            return f"auto_pad {auto} of images of unknown size"
    low = [total // 2 for total in totals]
    high = [total - half for total, half in zip(totals, low, strict=True)]
    return tuple(low + high if auto == "SAME_UPPER" else high + low)


def _shape(value: ir.Value) -> tuple[int, ...]:
    tensor = value.const_value
    assert tensor is not None
    return tuple(int(size) for size in np.asarray(tensor.shape.numpy()))

"""What the operators of our domain mean, in numpy: classes for `onnx.reference`.

session = onnx.reference.ReferenceEvaluator(proto, new_ops=REFERENCE_OPS)
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import scipy.special
from onnx.reference.op_run import OpRun

from nfcompile.ir.attention_reference import MultiHeadAttention
from nfcompile.ir.half_floats import widen
from nfcompile.ir.schemas import DOMAIN, EPILOGUE_ATTRIBUTES
from nfcompile.sparse import BlockDiagonalTensor, BsrTensor, CsrTensor
from nfcompile.sparse.block_diagonal import strided_indices
from nfcompile.sparse.encoding import Array

__all__ = ["REFERENCE_OPS", "activate"]

_ACTIVATIONS: dict[str, Callable[[Array, float, float], Array]] = {
    "none": lambda t, a, b: t,
    "relu": lambda t, a, b: np.maximum(t, 0),
    "leaky_relu": lambda t, a, b: np.where(t < 0, a * t, t),
    "clip": lambda t, a, b: np.minimum(np.maximum(t, a), b),
    "gelu": lambda t, a, b: 0.5 * t * (1 + scipy.special.erf(t / math.sqrt(2))),
    "gelu_tanh": lambda t, a, b: (
        0.5 * t * (1 + np.tanh(math.sqrt(2 / math.pi) * (t + 0.044715 * t**3)))
    ),
    "silu": lambda t, a, b: t * scipy.special.expit(t),
    "sigmoid": lambda t, a, b: scipy.special.expit(t),
    "tanh": lambda t, a, b: np.tanh(t),
    "hard_swish": lambda t, a, b: t * np.clip(t / 6 + 0.5, 0, 1),
    "elu": lambda t, a, b: np.where(t < 0, a * np.expm1(np.minimum(t, 0)), t),
}

_NORMS: dict[str, Callable[[Array, float], Array]] = {
    "layer-norm": lambda x, epsilon: (
        (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
    ),
    "rms-norm": lambda x, epsilon: x / np.sqrt(np.square(x).mean(-1, keepdims=True) + epsilon),
}

_DEFAULTS = {
    attribute.name: onnx.helper.get_attribute_value(attribute.default_value)
    for attribute in EPILOGUE_ATTRIBUTES
}


_RESIDUAL = 4  # among what follows x


def activate(t: Array, activation: str, alpha: float = 0.0, beta: float = 0.0) -> Array:
    """Applies the activation of the given name elementwise."""
    return _ACTIVATIONS[activation](t, alpha, beta)


def _finish(t: Array, bias: Array | None, residual: Array | None, epilogue: dict[str, Any]) -> Any:
    epilogue = {**_DEFAULTS, **epilogue}
    mode = epilogue["residual_mode"]
    bias, residual = (None if item is None else widen(item) for item in (bias, residual))
    t = t if bias is None else t + bias
    t = t if residual is None or mode else t + residual
    name = epilogue["activation"]
    name = name.decode() if isinstance(name, bytes) else name
    t = activate(t, name, epilogue["activation_alpha"], epilogue["activation_beta"])
    if residual is None or mode == 0:
        return t
    return t + residual if mode == 1 else t * residual


class CsrMatMul(OpRun):
    """See the schema of the same name."""

    op_domain = DOMAIN

    def _run(  # type: ignore[no-untyped-def]
        self, x, values, indices, indptr, bias=None, residual=None, in_features=0, **epilogue
    ):
        weight = CsrTensor(values.astype(np.float32), indices, indptr, in_features).numpy()
        return (_finish(widen(x) @ weight.T, bias, residual, epilogue).astype(x.dtype),)


class BsrMatMul(OpRun):
    """See the schema of the same name."""

    op_domain = DOMAIN

    def _run(  # type: ignore[no-untyped-def]
        self, x, values, indices, indptr, bias=None, residual=None, in_features=0, **epilogue
    ):
        weight = BsrTensor(values.astype(np.float32), indices, indptr, in_features).numpy()
        return (_finish(widen(x) @ weight.T, bias, residual, epilogue).astype(x.dtype),)


class BlockDiagonalMatMul(OpRun):
    """See the schema of the same name."""

    op_domain = DOMAIN

    def _run(  # type: ignore[no-untyped-def]
        self,
        x,
        values,
        rows=None,
        cols=None,
        bias=None,
        residual=None,
        in_features=0,
        out_features=0,
        row_stride=0,
        col_stride=0,
        **epilogue,
    ):
        weight = _block_diagonal(
            values.astype(np.float32), rows, cols, row_stride, col_stride, out_features, in_features
        )
        return (_finish(widen(x) @ weight.T, bias, residual, epilogue).astype(x.dtype),)


class CsrConv(CsrMatMul):
    """See the schema of the same name."""

    def _run(self, x, *weights, **attributes):  # type: ignore[no-untyped-def]
        return _convolve(super()._run, x, weights, attributes)


class BsrConv(BsrMatMul):
    """See the schema of the same name."""

    def _run(self, x, *weights, **attributes):  # type: ignore[no-untyped-def]
        return _convolve(super()._run, x, weights, attributes)


class BlockDiagonalConv(BlockDiagonalMatMul):
    """See the schema of the same name."""

    def _run(self, x, *weights, **attributes):  # type: ignore[no-untyped-def]
        return _convolve(super()._run, x, weights, attributes)


def _convolve(
    product: Callable[..., tuple[Array]],
    x: Array,
    weights: Sequence[Array | None],
    attributes: dict[str, Any],
) -> tuple[Array]:
    """The product over the windows of x, and its result with the features in axis 1 again."""
    window = [attributes.pop(name) for name in ("kernel_shape", "strides", "dilations", "pads")]
    given = list(weights)
    if len(given) > _RESIDUAL and (residual := given[_RESIDUAL]) is not None:
        given[_RESIDUAL] = _features_last(residual)
    (y,) = product(_windows(x, *window), *given, **attributes)
    return (_features_second(y),)


def _windows(
    x: Array,
    shape: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> Array:
    """(n, places along height, along width, channels * window)."""
    padded = np.pad(x, [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])])
    reach = [d * (k - 1) + 1 for k, d in zip(shape, dilations, strict=True)]
    seen = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    seen = seen[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    features = x.shape[1] * math.prod(shape)
    rows: Array = seen.transpose(0, 2, 3, 1, 4, 5).reshape(len(x), *seen.shape[2:4], features)
    return rows


def _features_last(x: Array) -> Array:
    return np.moveaxis(x, 1, -1)


def _features_second(x: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


class SparseChain(OpRun):
    """See the schema of the same name."""

    op_domain = DOMAIN

    def _run(self, *operands, inputs=1, encodings="", activations="", outputs=(), **lists):  # type: ignore[no-untyped-def]
        slots = list(operands[:inputs])
        rest = iter(operands[inputs:])
        for layer, (kind, activation) in enumerate(
            zip(_words(encodings), _words(activations), strict=True)
        ):
            at = {name: values[layer] for name, values in lists.items()}
            x = self.read(slots[at["sources"]], layer, lists)
            if kind in _NORMS:
                scale, bias = next(rest), next(rest) if at["has_bias"] else 0
                slots.append(_NORMS[kind](x, at["epsilons"]).astype(np.float32) * scale + bias)
                continue
            weight = _chain_weight(kind, rest, at)
            residual = None if at["residuals"] < 0 else slots[at["residuals"]]
            epilogue = {
                "activation": activation,
                "activation_alpha": at["activation_alphas"],
                "activation_beta": at["activation_betas"],
                "residual_mode": at["residual_modes"],
            }
            bias = next(rest) if at["has_bias"] else None
            slots.append(_finish(x @ weight.T, bias, residual, epilogue).astype(np.float32))
        return tuple(slots[slot] for slot in outputs) if outputs else (slots[-1],)

    def read(self, x: Array, layer: int, lists: dict[str, Any]) -> Array:
        """What a layer multiplies."""
        return x


class SparseConvChain(SparseChain):
    """See the schema of the same name."""

    def _run(self, *operands, inputs=1, **attributes):  # type: ignore[no-untyped-def]
        activations = [_features_last(x) for x in operands[:inputs]]
        (y,) = super()._run(*activations, *operands[inputs:], inputs=inputs, **attributes)  # type: ignore[no-untyped-call]
        return (_features_second(y),)

    def read(self, x: Array, layer: int, lists: dict[str, Any]) -> Array:
        """What the windows of a layer see."""
        sizes = {"kernel_shapes": 2, "strides": 2, "dilations": 2, "pads": 4}
        window = [lists[name][layer * size : (layer + 1) * size] for name, size in sizes.items()]
        return _windows(_features_second(x), *window)


def _words(text: str | bytes) -> list[str]:
    return (text.decode() if isinstance(text, bytes) else text).split(",")


def _chain_weight(kind: str, rest: Iterator[Array], at: dict[str, Any]) -> Array:
    """The dense weight (out, in) of the layer whose components come next."""
    values = next(rest).astype(np.float32)
    if kind != "block-diagonal":
        made = CsrTensor if kind == "csr" else BsrTensor
        return made(values, next(rest), next(rest), at["in_features"]).numpy()
    rows = None if at["row_strides"] else next(rest)
    cols = None if at["col_strides"] else next(rest)
    return _block_diagonal(
        values, rows, cols, at["row_strides"], at["col_strides"], at["out_features"],
        at["in_features"],
    )  # fmt: skip


def _block_diagonal(
    values: Array,
    rows: Array | None,
    cols: Array | None,
    row_stride: int,
    col_stride: int,
    out_features: int,
    in_features: int,
) -> Array:
    blocks, height, width = values.shape
    rows = strided_indices(blocks, height, row_stride) if row_stride else rows
    cols = strided_indices(blocks, width, col_stride) if col_stride else cols
    assert rows is not None and cols is not None
    rows, cols = rows.reshape(blocks, height), cols.reshape(blocks, width)
    return BlockDiagonalTensor(values, rows, cols, out_features, in_features).numpy()


class CsrToDense(OpRun):
    """See the schema of the same name."""

    op_domain = DOMAIN

    def _run(self, values, indices, indptr, shape=None):  # type: ignore[no-untyped-def]
        return (CsrTensor(values, indices, indptr, shape[1]).numpy(),)


REFERENCE_OPS = (
    CsrMatMul,
    BsrMatMul,
    BlockDiagonalMatMul,
    CsrConv,
    BsrConv,
    BlockDiagonalConv,
    SparseChain,
    SparseConvChain,
    MultiHeadAttention,
    CsrToDense,
)
"""Pass these to `onnx.reference.ReferenceEvaluator(..., new_ops=...)`."""

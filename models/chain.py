"""Chains of layers whose weights have a named pattern, made without torch: for benchmarks."""

from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir
from scipy.sparse import csr_array

from nfcompile.ir.schemas import DOMAIN
from nfcompile.sparse.block_diagonal import strided_indices

__all__ = ["chain", "feed_forward", "unstructured_weight", "weight_of"]


def weight_of(pattern: str, size: int, seed: int) -> np.ndarray:
    """A float32 weight of (size, size), scaled to keep the variance of a ReLU network.

    Args:
        pattern: `dense`, `unstructured DENSITY`, `blocks SIZE DENSITY`, `strips ROWS DENSITY`
            (blocks of one column), `butterfly RADIX` (the
            stride varies with the seed) or `shuffled RADIX` (the same, rows and columns permuted).
        size: Width.
        seed: Seed of mask and values.
    """
    rng = np.random.default_rng(seed)
    name, *numbers = pattern.split()
    if name == "dense":
        mask = np.ones((size, size), bool)
    elif name == "unstructured":
        mask = rng.random((size, size)) < float(numbers[0])
    elif name == "blocks":
        block = int(numbers[0])
        coarse = rng.random((size // block, size // block)) < float(numbers[1])
        mask = np.kron(coarse, np.ones((block, block), bool))
    elif name == "strips":
        coarse = rng.random((size // int(numbers[0]), size)) < float(numbers[1])
        mask = np.repeat(coarse, int(numbers[0]), axis=0)
    else:
        mask = _butterfly(size, int(numbers[0]), seed)
        if name == "shuffled":
            mask = mask[rng.permutation(size)][:, rng.permutation(size)]
    gain = np.sqrt(2 * size / max(mask.sum(), 1))
    return np.asarray(rng.standard_normal((size, size)) * mask * gain, np.float32)


def unstructured_weight(shape: tuple[int, int], density: float, seed: int) -> np.ndarray:
    """A float32 weight (out, in) without structure, scaled to keep the variance of its input."""
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < density
    gain = np.sqrt(shape[0] / max(mask.sum(), 1))
    return np.asarray(rng.standard_normal(shape) * mask * gain, np.float32)


def chain(
    weights: Iterable[np.ndarray | csr_array],
    *,
    relu: bool = False,
    bias: float = 0.01,
    clip: tuple[float, float] | None = None,
    input_name: str = "x",
) -> ir.Model:
    """Linear layers one after the other, with bias, and an activation if asked; batch is dynamic.

    Args:
        weights: Per layer a float32 array (out, in), dense, or by its non-zeros, which stays so.
        relu: Whether a ReLU follows each.
        bias: Every entry of every bias.
        clip: Bounds that the result of each layer is clipped to.
        input_name: Name of the input; the output's is `y`.
    """
    nodes: list[ir.Node] = []
    initializers: list[ir.Value] = []
    bounds = [
        _initializer(f"bound{i}", np.array(item, np.float32)) for i, item in enumerate(clip or ())
    ]
    x = value = ir.val(input_name, ir.DataType.FLOAT)
    for index, weight in enumerate(weights):
        name, (width, in_features) = f"fc{index}", weight.shape
        if not index:
            x.shape = ir.Shape(["batch", in_features])
        row = _initializer(f"{name}.bias", np.full(width, bias, np.float32))
        if isinstance(weight, np.ndarray):
            initializers += [dense := _initializer(f"{name}.weight", weight), row]
        else:
            stored = _stored(name, weight)
            nodes.append(
                ir.node("CsrToDense", stored, {"shape": list(weight.shape)}, domain=DOMAIN)
            )
            initializers += [*stored, row]
            dense = nodes[-1].outputs[0]
        nodes.append(ir.node("Gemm", [value, dense, row], {"transB": 1}, name=name))
        if relu:
            nodes.append(ir.node("Relu", nodes[-1].outputs))
        if clip:
            nodes.append(ir.node("Clip", [nodes[-1].outputs[0], *bounds]))
        value = nodes[-1].outputs[0]
    value.shape = ir.Shape(["batch", width])
    return _model("chain", x, value, nodes, initializers + bounds)


def feed_forward(up: np.ndarray, down: np.ndarray, tokens: int) -> ir.Model:
    """The feed-forward part of a transformer, `down(gelu(up(x)))`, with biases.

    GELU is spelled as x / 2 (1 + erf(x / sqrt 2)), which every runtime takes.

    Args:
        up: Float32 (hidden, width).
        down: Float32 (width, hidden).
        tokens: Rows per element of the batch: the input has shape (batch, tokens, width).
    """
    x = ir.val("x", ir.DataType.FLOAT, ["batch", tokens, up.shape[1]])
    names = ("up.weight", "up.bias", "down.weight", "down.bias", "root", "one", "half")
    arrays = [up.T, np.full(len(up), 0.01), down.T, np.full(len(down), 0.01), 2**0.5, 1.0, 0.5]
    constants = [
        _initializer(name, np.array(array, np.float32, order="C"))
        for name, array in zip(names, arrays, strict=True)
    ]
    up_weight, up_bias, down_weight, down_bias, root, one, half = constants
    nodes: list[ir.Node] = []

    def apply(operator: str, *operands: ir.Value) -> ir.Value:
        nodes.append(ir.node(operator, operands))
        return nodes[-1].outputs[0]

    hidden = apply("Add", apply("MatMul", x, up_weight), up_bias)
    gate = apply("Add", apply("Erf", apply("Div", hidden, root)), one)
    hidden = apply("Mul", apply("Mul", hidden, gate), half)
    y = apply("Add", apply("MatMul", hidden, down_weight), down_bias)
    y.shape = ir.Shape(["batch", tokens, len(down)])
    return _model("feed-forward", x, y, nodes, constants)


def _stored(name: str, weight: csr_array) -> list[ir.Value]:
    arrays = {"values": weight.data, "indices": weight.indices, "indptr": weight.indptr}
    return [_initializer(f"{name}.{part}", array) for part, array in arrays.items()]


def _initializer(name: str, array: np.ndarray) -> ir.Value:
    return ir.val(name, const_value=ir.tensor(array, name=name))


def _model(
    name: str, x: ir.Value, y: ir.Value, nodes: Sequence[ir.Node], constants: Sequence[ir.Value]
) -> ir.Model:
    y.name, y.dtype = "y", ir.DataType.FLOAT
    opsets = {"": 17}  # which DeepSparse takes too
    if any(node.domain == DOMAIN for node in nodes):
        opsets[DOMAIN] = 1
    graph = ir.Graph([x], [y], nodes=nodes, initializers=constants, opset_imports=opsets, name=name)
    return ir.Model(graph, ir_version=8)


def _butterfly(size: int, radix: int, seed: int) -> np.ndarray:
    strides = [radix**power for power in range(8) if radix ** (power + 1) <= size]
    strides = [stride for stride in strides if (size // radix) % stride == 0]
    mask = np.zeros((size, size), bool)
    for members in strided_indices(size // radix, radix, strides[seed % len(strides)]):
        mask[np.ix_(members, members)] = True
    return mask

"""The networks that benchmarks run: chains of layers whose weights have a named pattern."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from nfcompile.sparse.block_diagonal import strided_indices

__all__ = ["chain", "weight_of"]


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
    return (rng.standard_normal((size, size)) * mask * gain).astype(np.float32)


def chain(weights: Sequence[np.ndarray], *, relu: bool = False) -> ir.Model:
    """Linear layers one after the other, with bias, and ReLU if asked; the batch is dynamic.

    Args:
        weights: Per layer a float32 array (out, in).
        relu: Whether a ReLU follows each.
    """
    x = ir.val("x", ir.DataType.FLOAT, ["batch", weights[0].shape[1]])
    nodes: list[ir.Node] = []
    initializers = []
    value = x
    for index, weight in enumerate(weights):
        bias = np.full(len(weight), 0.01, np.float32)
        constants = [
            ir.val(name, const_value=ir.tensor(array, name=name))
            for name, array in ((f"fc{index}.weight", weight), (f"fc{index}.bias", bias))
        ]
        initializers += constants
        nodes.append(ir.node("Gemm", [value, *constants], {"transB": 1}, name=f"fc{index}"))
        if relu:
            nodes.append(ir.node("Relu", nodes[-1].outputs))
        value = nodes[-1].outputs[0]
    value.name, value.dtype = "y", ir.DataType.FLOAT
    value.shape = ir.Shape(["batch", len(weights[-1])])
    graph = ir.Graph(
        [x], [value], nodes=nodes, initializers=initializers, opset_imports={"": 18}, name="chain"
    )
    return ir.Model(graph, ir_version=9)


def _butterfly(size: int, radix: int, seed: int) -> np.ndarray:
    strides = [radix**power for power in range(8) if radix ** (power + 1) <= size]
    strides = [stride for stride in strides if (size // radix) % stride == 0]
    mask = np.zeros((size, size), bool)
    for members in strided_indices(size // radix, radix, strides[seed % len(strides)]):
        mask[np.ix_(members, members)] = True
    return mask

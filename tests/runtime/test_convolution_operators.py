"""The library's convolutions against the reference semantics of the schema list."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx.helper
import pytest
from onnx.reference import ReferenceEvaluator
from support import blocky, butterfly_factor, unstructured

from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.reference import REFERENCE_OPS
from nfcompile.ir.schemas import ACTIVATIONS, CONVS, DOMAIN, VERSION, register_schemas
from nfcompile.runtime.ort import OrtEngine
from nfcompile.sparse import (
    BlockDiagonalTensor,
    BsrTensor,
    CsrTensor,
    Encoding,
    find_block_diagonal,
)

RNG = np.random.default_rng(0)
C = 16


def diagonal(weight: np.ndarray) -> Encoding:
    found = find_block_diagonal(CsrTensor.from_dense(weight))
    assert isinstance(found, BlockDiagonalTensor)
    return found


def over_windows(channels: np.ndarray, places: int) -> np.ndarray:
    """The pattern of `channels` in every element of a window."""
    return np.kron(channels, RNG.standard_normal((1, places))).astype(np.float32)


def encodings(places: int) -> dict[str, Encoding]:
    """A weight of 16 channels over windows of so many elements, by every encoding."""
    shuffled = butterfly_factor(RNG, C, 4, 1)[RNG.permutation(C)][:, RNG.permutation(C)]
    return {
        "csr": CsrTensor.from_dense(unstructured(RNG, (24, C * places), 0.2)),
        "bsr": BsrTensor.from_dense(blocky(RNG, (24, C * places), 8, 0.4), (8, 8)),
        "block-diagonal by rule": diagonal(over_windows(butterfly_factor(RNG, C, 4, 1), places)),
        "block-diagonal by lists": diagonal(over_windows(shuffled, places)),
    }


WINDOWS: dict[str, dict[str, Any]] = {
    "pointwise": {"kernel_shape": [1, 1]},
    "3x3": {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
    "strided pointwise": {"kernel_shape": [1, 1], "strides": [2, 3]},
    "all of it": {
        "kernel_shape": [2, 3], "strides": [2, 1], "dilations": [3, 2], "pads": [0, 4, 3, 1],
    },
}  # fmt: skip
KINDS = list(encodings(1))
DEFAULTS = {"strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}


def with_values(encoding: Encoding, precision: str) -> dict[str, np.ndarray]:
    arrays = dict(encoding.components())
    if precision == "bf16":
        arrays["values"] = arrays["values"].astype(ml_dtypes.bfloat16)
    return arrays


def made(nodes: list[onnx.NodeProto], infos: dict[str, list[Any]], constants: Any) -> Any:
    register_schemas()
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in infos.items()
    ]
    graph = onnx.helper.make_graph(nodes, "operator", values[:-1], values[-1:], constants)
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid(DOMAIN, VERSION)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def conv_model(
    encoding: Encoding, window: dict[str, Any], precision: str = "fp32", **attributes: Any
) -> onnx.ModelProto:
    """X, bias and residual in, Y out; the weight's components are initializers."""
    schema = CONVS[encoding.kind]
    arrays = with_values(encoding, precision)
    attributes |= {**DEFAULTS, **window, "in_features": encoding.shape[1]}
    if isinstance(encoding, BlockDiagonalTensor):
        attributes |= {
            "out_features": encoding.shape[0],
            "row_stride": encoding.row_stride,
            "col_stride": encoding.col_stride,
        }
    names = [item.name if item.name in arrays else "" for item in list(schema.inputs)[1:-2]]
    node = onnx.helper.make_node(
        schema.name, ["X", *names, "bias", "residual"], ["Y"], domain=DOMAIN, **attributes
    )
    out = encoding.shape[0]
    infos: dict[str, list[Any]] = {
        "X": ["n", C, "h", "w"],
        "bias": [out],
        "residual": ["n", out, "i", "j"],
        "Y": ["n", out, "i", "j"],
    }
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    return made([node], infos, constants)


def places(window: dict[str, Any], size: tuple[int, int]) -> list[int]:
    given = {**DEFAULTS, **window}
    reach = [d * (k - 1) + 1 for k, d in zip(window["kernel_shape"], given["dilations"])]  # noqa: B905
    padded = [size[i] + given["pads"][i] + given["pads"][i + 2] for i in range(2)]
    return [(padded[i] - reach[i]) // given["strides"][i] + 1 for i in range(2)]


def both(
    model: onnx.ModelProto, inputs: dict[str, np.ndarray], path: Path, threads: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    onnx.save(model, path)
    expected = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS)).run(None, inputs)[0]
    return OrtEngine().load(path, threads=threads).run(inputs)["Y"], expected


def sample(
    encoding: Encoding, window: dict[str, Any], images: int, size: tuple[int, int] = (7, 9)
) -> dict[str, np.ndarray]:
    out = encoding.shape[0]
    shapes = {
        "X": (images, C, *size),
        "bias": (out,),
        "residual": (images, out, *places(window, size)),
    }
    return {k: RNG.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("images", [0, 1, 3])
def test_a_convolution_is_the_same_in_the_library(
    kind: str, window: str, images: int, tmp_path: Path
) -> None:
    at = WINDOWS[window]
    encoding = encodings(int(np.prod(at["kernel_shape"])))[kind]
    inputs = sample(encoding, at, images)
    model = conv_model(encoding, at, activation="relu")
    got, expected = both(model, inputs, tmp_path / "m.onnx")
    assert got.shape == expected.shape == inputs["residual"].shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_convolution_in_bfloat16_stays_within_its_rounding(
    kind: str, threads: int, tmp_path: Path
) -> None:
    encoding = encodings(9)[kind]
    inputs = sample(encoding, WINDOWS["3x3"], 2)
    model = conv_model(encoding, WINDOWS["3x3"], "bf16")
    got, expected = both(model, inputs, tmp_path / "m.onnx", threads)
    assert np.abs(got - expected).max() <= 2e-2 * np.abs(expected).max()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_every_activation_of_the_schema_is_known_to_convolutions(
    activation: str, mode: int, tmp_path: Path
) -> None:
    encoding = encodings(9)["csr"]
    model = conv_model(
        encoding,
        WINDOWS["3x3"],
        activation=activation,
        activation_alpha=0.25,
        activation_beta=1.5,
        residual_mode=mode,
    )
    inputs = sample(encoding, WINDOWS["3x3"], 1, (4, 5))
    got, expected = both(model, inputs, tmp_path / "m.onnx")
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_one_session_takes_images_of_any_number_and_size(threads: int, tmp_path: Path) -> None:
    encoding = encodings(9)["csr"]
    model = conv_model(encoding, WINDOWS["3x3"])
    onnx.save(model, tmp_path / "m.onnx")
    runner = OrtEngine().load(tmp_path / "m.onnx", threads=threads)
    reference = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS))
    for images, size in ((1, (3, 3)), (5, (33, 2)), (2, (1, 1)), (0, (3, 3)), (1, (64, 65))):
        inputs = sample(encoding, WINDOWS["3x3"], images, size)
        expected = reference.run(None, inputs)[0]
        np.testing.assert_allclose(runner.run(inputs)["Y"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"X": (1, C - 1, 5, 5)}, "channels"),
        ({"X": (1, C, 25)}, "X"),
        ({"residual": (1, 24, 5, 4)}, r"residual must have shape \[1, 24, 5, 5\]"),
        ({"bias": (23,)}, r"bias must have shape \[24\]"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    shapes: dict[str, tuple[int, ...]], words: str, tmp_path: Path
) -> None:
    encoding = encodings(9)["csr"]
    model = conv_model(encoding, WINDOWS["3x3"])
    for value in model.graph.input:  # any shape goes into the session
        value.type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "m.onnx")
    inputs = sample(encoding, WINDOWS["3x3"], 1, (5, 5))
    inputs |= {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    runner = OrtEngine().load(tmp_path / "m.onnx", threads=1)
    with pytest.raises(UnsupportedModelError, match=words):
        runner.run(inputs)


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"strides": [0, 1]}, "strides"),
        ({"dilations": [1, 0]}, "dilations"),
        ({"pads": [0, -1, 0, 0]}, "pads"),
        ({"pads": [0, 0]}, "pads must have 4 entries"),
        ({"kernel_shape": [9]}, "kernel_shape must have 2 entries"),
    ],
)
def test_a_malformed_window_is_refused(window: dict[str, Any], words: str, tmp_path: Path) -> None:
    model = conv_model(encodings(9)["csr"], {"kernel_shape": [3, 3], **window})
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match=words):
        OrtEngine().load(tmp_path / "m.onnx", threads=1)


CHAIN: tuple[tuple[str, int, int, int, str, int, dict[str, Any]], ...] = (
    # encoding, places, source, residual, activation, mode, window; slots 0 and 1 are the inputs,
    # images of another size each. The factor of layer 1 is an input, read where it lies; that of
    # layer 5 is what layer 3 gives, which in fp32 lies as tiles do. (No clip there: a result that
    # is much smaller than its sum would be a factor whose relative error in bf16 is large.)
    ("csr", 9, 0, -1, "relu", 0, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("block-diagonal by rule", 1, 0, 0, "tanh", 2, {"kernel_shape": [1, 1]}),
    ("block-diagonal by lists", 1, 3, 0, "clip", 1, {"kernel_shape": [1, 1]}),
    ("bsr", 4, 4, 2, "silu", 0,
     {"kernel_shape": [2, 2], "pads": [0, 1, 2, 1], "dilations": [2, 2]}),
    ("block-diagonal by rule", 6, 1, -1, "gelu", 0,
     {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [0, 1, 0, 1]}),
    ("csr", 4, 6, 5, "none", 2, {"kernel_shape": [2, 2], "dilations": [1, 1],
                                 "pads": [1, 1, 0, 0]}),
)  # fmt: skip


def chain_model(precision: str) -> onnx.ModelProto:
    """Two inputs, a layer of each encoding, branches, residuals and windows of their own."""
    constants: list[onnx.TensorProto] = []
    lists: dict[str, list[Any]] = {}
    kinds: list[str] = []
    for layer, (name, size, source, residual, _, mode, window) in enumerate(CHAIN):
        encoding = encodings(size)[name]
        kinds.append(encoding.kind)
        for key, array in with_values(encoding, precision).items():
            constants.append(onnx.numpy_helper.from_array(array, f"{layer}.{key}"))
        has_bias = layer % 2 == 0
        if has_bias:
            bias = RNG.standard_normal(encoding.shape[0]).astype(np.float32)
            constants.append(onnx.numpy_helper.from_array(bias, f"{layer}.bias"))
        entries = {
            "in_features": encoding.shape[1],
            "out_features": encoding.shape[0],
            "row_strides": getattr(encoding, "row_stride", 0),
            "col_strides": getattr(encoding, "col_stride", 0),
            "has_bias": int(has_bias),
            "sources": source,
            "residuals": residual,
            "residual_modes": mode,
        }
        for key, entry in entries.items():
            lists.setdefault(key, []).append(entry)
        for key, entry in {**DEFAULTS, **window}.items():
            lists.setdefault("kernel_shapes" if key == "kernel_shape" else key, []).extend(entry)
    node = onnx.helper.make_node(
        "SparseConvChain",
        ["X", "Z", *(item.name for item in constants)],
        ["Y"],
        domain=DOMAIN,
        encodings=",".join(kinds),
        activations=",".join(layer[4] for layer in CHAIN),
        activation_alphas=[-0.5] * len(CHAIN),
        activation_betas=[2.0] * len(CHAIN),
        **lists,
    )
    node.attribute.append(onnx.helper.make_attribute("inputs", 2))
    infos: dict[str, list[Any]] = {
        "X": ["n", C, "h", "w"],
        "Z": ["n", C, "i", "j"],
        "Y": ["n", 24, "h", "w"],
    }
    return made([node], infos, constants)


def chain_sample(images: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
    height, width = size
    shapes = {"X": (images, C, height, width), "Z": (images, C, 2 * height, width)}
    return {k: RNG.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-5), ("bf16", 2e-2)])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_chain_of_convolutions_is_the_same_in_the_library(
    precision: str, limit: float, threads: int, tmp_path: Path
) -> None:
    model = chain_model(precision)
    onnx.save(model, tmp_path / "m.onnx")
    reference = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS))
    runner = OrtEngine().load(tmp_path / "m.onnx", threads=threads)
    for images, size in ((1, (5, 7)), (0, (5, 7)), (4, (3, 3)), (3, (17, 33)), (1, (1, 1))):
        inputs = chain_sample(images, size)
        expected = reference.run(None, inputs)[0]
        got = runner.run(inputs)["Y"]
        assert got.shape == expected.shape == (images, 24, *size)
        if images:
            assert np.abs(got - expected).max() <= limit * np.abs(expected).max()


def test_images_that_do_not_fit_the_cache_together_go_through_in_groups(tmp_path: Path) -> None:
    model = chain_model("fp32")
    inputs = chain_sample(5, (96, 100))  # over 2 MB of slots an image, 8 MB a group
    got, expected = both(model, inputs, tmp_path / "m.onnx")
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


# One group of images whose layers threads share, and as many groups as threads.
@pytest.mark.parametrize(("images", "size"), [(3, (17, 19)), (6, (25, 23))])
def test_threads_do_not_change_a_bit_of_a_chain(
    images: int, size: tuple[int, int], tmp_path: Path
) -> None:
    model = chain_model("fp32")
    onnx.save(model, tmp_path / "m.onnx")
    inputs = chain_sample(images, size)
    one, two = (
        OrtEngine().load(tmp_path / "m.onnx", threads=threads).run(inputs)["Y"]
        for threads in (1, 2)
    )
    np.testing.assert_array_equal(one, two)
    expected = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS)).run(None, inputs)[0]
    assert np.abs(one - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, C, 10, 7), "as many images"),
        ((1, C + 1, 10, 7), "channels"),
        ((1, C, 10, 8), "the residual of layer 5 must have the shape of its result"),
    ],
)
def test_activations_that_do_not_fit_a_chain_are_refused(
    shape: tuple[int, ...], words: str, tmp_path: Path
) -> None:
    model = chain_model("fp32")
    for value in model.graph.input:
        value.type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "m.onnx")
    runner = OrtEngine().load(tmp_path / "m.onnx", threads=1)
    inputs = {"X": np.zeros((1, C, 5, 7), np.float32), "Z": np.zeros(shape, np.float32)}
    with pytest.raises(UnsupportedModelError, match=words):
        runner.run(inputs)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kernel_shapes", "kernel_shapes must have 12 entries"),
        ("pads", "pads must have 24 entries"),
        ("residuals", "residuals must have 6 entries"),
    ],
)
def test_a_chain_of_convolutions_whose_lists_do_not_fit_is_refused(
    name: str, words: str, tmp_path: Path
) -> None:
    model = chain_model("fp32")
    next(item for item in model.graph.node[0].attribute if item.name == name).ints.pop()
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match=words):
        OrtEngine().load(tmp_path / "m.onnx", threads=1)


def test_the_library_infers_the_shape_of_a_convolution(tmp_path: Path) -> None:
    model = conv_model(encodings(6)["bsr"], WINDOWS["all of it"])
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], (7, 9), strict=True):
        dim.dim_value = size
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "m.onnx")
    session = OrtEngine().load(tmp_path / "m.onnx", threads=1).session
    assert session.get_outputs()[0].shape == ["n", 24, *places(WINDOWS["all of it"], (7, 9))]

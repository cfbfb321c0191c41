"""The library's operators against the reference semantics of the schema list."""

from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx.helper
import pytest
from onnx.reference import ReferenceEvaluator
from support import blocky, butterfly_factor, unstructured
from support_operators import operator_model

from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.reference import REFERENCE_OPS
from nfcompile.ir.schemas import ACTIVATIONS, register_schemas
from nfcompile.runtime.ort import OrtEngine
from nfcompile.sparse import BsrTensor, CsrTensor, Encoding, find_block_diagonal

RNG = np.random.default_rng(0)


def diagonal(weight: np.ndarray) -> Encoding:
    found = find_block_diagonal(CsrTensor.from_dense(weight))
    assert not isinstance(found, str)
    return found


SHUFFLED = butterfly_factor(RNG, 96, 8, 1)[RNG.permutation(96)][:, RNG.permutation(96)]
ENCODINGS = {
    "csr": CsrTensor.from_dense(unstructured(RNG, (70, 300), 0.1)),
    "csr with 16-bit indices": CsrTensor.from_dense(unstructured(RNG, (33, 400), 0.1)),
    "bsr 16x16": BsrTensor.from_dense(blocky(RNG, (64, 96), 16, 0.3), (16, 16)),
    "bsr 4x4": BsrTensor.from_dense(blocky(RNG, (64, 96), 4, 0.3), (4, 4)),
    "block-diagonal stride 8": diagonal(butterfly_factor(RNG, 128, 4, 8)),
    "block-diagonal stride 1": diagonal(butterfly_factor(RNG, 128, 16, 1)),
    "block-diagonal shuffled": diagonal(SHUFFLED),
}


def both(model: onnx.ModelProto, path: Path, batch: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    onnx.save(model, path)
    sizes = {item.name: item.type.tensor_type.shape.dim[-1].dim_value for item in model.graph.input}
    inputs = {
        "X": RNG.standard_normal((*batch, sizes["X"])).astype(np.float32),
        "bias": RNG.standard_normal(sizes["bias"]).astype(np.float32),
        "residual": RNG.standard_normal((*batch, sizes["residual"])).astype(np.float32),
    }
    expected = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS)).run(None, inputs)[0]
    return OrtEngine().load(path, threads=2).run(inputs)["Y"], expected


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("batch", [(5,), (2, 3), (1,), (0,), (2, 1, 9)], ids=str)
def test_a_product_is_the_same_in_the_library(
    name: str, batch: tuple[int, ...], tmp_path: Path
) -> None:
    model = operator_model(ENCODINGS[name], [f"d{i}" for i in range(len(batch))], activation="relu")
    got, expected = both(model, tmp_path / "m.onnx", batch)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_every_activation_of_the_schema_is_known_to_the_library(
    activation: str, mode: int, tmp_path: Path
) -> None:
    model = operator_model(
        ENCODINGS["csr"],
        ["b"],
        activation=activation,
        activation_alpha=0.25,
        activation_beta=1.5,
        residual_mode=mode,
    )
    got, expected = both(model, tmp_path / "m.onnx", (4,))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def chain_model(precision: str) -> onnx.ModelProto:
    """Two inputs, a layer of each encoding, norms, a branch, a residual, and two results."""
    made: list[tuple[Encoding | str, int, int, str]] = [
        (ENCODINGS["block-diagonal stride 8"], 0, -1, "relu"),
        (ENCODINGS["block-diagonal shuffled"], 1, -1, "none"),
        (CsrTensor.from_dense(unstructured(RNG, (128, 96), 0.1)), 3, 2, "gelu"),
        ("layer-norm", 4, -1, "none"),
        ("rms-norm", 5, -1, "none"),
        (BsrTensor.from_dense(blocky(RNG, (64, 128), 16, 0.5), (16, 16)), 6, -1, "none"),
    ]
    constants: list[onnx.TensorProto] = []
    lists: dict[str, list[int]] = {}
    for layer, (encoding, source, residual, _) in enumerate(made):
        if isinstance(encoding, str):
            out, in_ = 128, 128
            scale = RNG.standard_normal(out).astype(np.float32)
            components: Mapping[str, np.ndarray] = {"scale": scale}
        else:
            out, in_ = encoding.shape
            components = encoding.components()
        for name, array in components.items():
            if name == "values" and precision == "bf16":
                array = array.astype(ml_dtypes.bfloat16)  # noqa: PLW2901
            constants.append(onnx.numpy_helper.from_array(array, f"{layer}.{name}"))
        bias = RNG.standard_normal(out).astype(np.float32)
        constants.append(onnx.numpy_helper.from_array(bias, f"{layer}.bias"))
        entries = {
            "in_features": in_,
            "out_features": out,
            "row_strides": getattr(encoding, "row_stride", 0),
            "col_strides": getattr(encoding, "col_stride", 0),
            "has_bias": 1,
            "sources": source,
            "residuals": residual,
            "residual_modes": 0,
        }
        for name, entry in entries.items():
            lists.setdefault(name, []).append(entry)
    node = onnx.helper.make_node(
        "SparseChain",
        ["X", "bias", *(item.name for item in constants)],
        ["Y", "Z"],
        domain="nfcompile",
        encodings=",".join(item[0] if isinstance(item[0], str) else item[0].kind for item in made),
        activations=",".join(item[3] for item in made),
        activation_alphas=[0.0] * len(made),
        activation_betas=[0.0] * len(made),
        epsilons=[0.02] * len(made),
        **lists,
    )
    node.attribute.append(onnx.helper.make_attribute("inputs", 2))
    node.attribute.append(onnx.helper.make_attribute("outputs", [len(made) + 1, 4]))
    register_schemas()
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["b", size])
        for name, size in (("X", 128), ("bias", 96), ("Y", 64), ("Z", 128))
    ]
    graph = onnx.helper.make_graph([node], "chain", infos[:2], infos[2:], constants)
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("nfcompile", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-5), ("bf16", 2e-2)])
@pytest.mark.parametrize("batch", [0, 1, 5, 40, 300])
def test_a_chain_is_the_same_in_the_library(
    precision: str, limit: float, batch: int, tmp_path: Path
) -> None:
    model = chain_model(precision)
    onnx.save(model, tmp_path / "m.onnx")
    inputs = {
        "X": RNG.standard_normal((batch, 128)).astype(np.float32),
        "bias": RNG.standard_normal((batch, 96)).astype(np.float32),
    }
    results = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS)).run(None, inputs)
    runner = OrtEngine().load(tmp_path / "m.onnx", threads=2)
    assert [item.shape for item in runner.session.get_outputs()] == [["b", 64], ["b", 128]]
    for got, expected in zip(runner.run(inputs).values(), results, strict=True):
        assert got.shape == expected.shape
        if batch:
            assert np.abs(got - expected).max() <= limit * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("outputs", [7, 4, 3], "outputs must name 2 slots, one per output, got 3"),
        ("outputs", [7], "outputs must name 2 slots, one per output, got 1"),
        (
            "activations",
            "relu,none,gelu,relu,none,none",
            "layer 3 is a norm, which has no activation",
        ),
        ("outputs", [1, 7], r"an output of a chain must lie in 2 \.\. 7, got 1"),
        ("epsilons", [0.1], "epsilons must have 6 entries, got 1"),
        ("in_features", [128, 128, 96, 64, 128, 128], "must normalize 64 features, got a scale"),
    ],
)
def test_a_chain_with_malformed_norms_or_outputs_is_refused(
    name: str, value: list[float] | str, words: str, tmp_path: Path
) -> None:
    model = chain_model("fp32")
    node = model.graph.node[0]
    kept = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match=words):
        OrtEngine().load(tmp_path / "m.onnx", threads=1)


def test_a_chain_whose_lists_do_not_fit_is_refused(tmp_path: Path) -> None:
    model = chain_model("fp32")
    next(item for item in model.graph.node[0].attribute if item.name == "sources").ints.pop()
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match="sources must have 6 entries"):
        OrtEngine().load(tmp_path / "m.onnx", threads=1)


def test_an_activation_of_a_chain_that_is_not_float_is_refused(tmp_path: Path) -> None:
    model = chain_model("fp32")
    model.graph.input[1].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    onnx.save(model, tmp_path / "m.onnx")
    runner = OrtEngine().load(tmp_path / "m.onnx", threads=1)
    inputs = {"X": np.zeros((3, 128), np.float32), "bias": np.zeros((3, 96), np.uint8)}
    with pytest.raises(UnsupportedModelError, match="must be of type float32"):
        runner.run(inputs)


def test_an_activation_that_no_layer_reads_is_refused(tmp_path: Path) -> None:
    model = chain_model("fp32")
    node = model.graph.node[0]
    next(item for item in node.attribute if item.name == "inputs").i = 3
    node.input.insert(2, "X")
    for item in node.attribute:
        if item.name in ("sources", "residuals"):
            item.ints[:] = [slot + 1 if slot >= 2 else slot for slot in item.ints]
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match="activation 2 must be read by a layer"):
        OrtEngine().load(tmp_path / "m.onnx", threads=1)


def test_an_unknown_activation_is_refused(tmp_path: Path) -> None:
    onnx.save(operator_model(ENCODINGS["csr"], ["b"], activation="softmax"), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match="softmax"):
        OrtEngine().load(tmp_path / "m.onnx", threads=1)


def test_an_input_too_many_is_refused(tmp_path: Path) -> None:
    model = operator_model(ENCODINGS["csr"], ["b"])
    model.graph.node[0].input.append("bias")
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError):
        OrtEngine().load(tmp_path / "m.onnx", threads=1)


def test_the_library_infers_the_shape_of_the_output(tmp_path: Path) -> None:
    model = operator_model(ENCODINGS["csr"], ["b", 7])
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "m.onnx")
    session = OrtEngine().load(tmp_path / "m.onnx", threads=1).session
    assert session.get_outputs()[0].shape[1:] == [7, 70]

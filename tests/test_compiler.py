"""The driver: what it takes, what it gives, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from support import model_proto, unstructured

import nfcompile
import nfcompile.compiler
from nfcompile.compiler import Options, compile_model
from nfcompile.errors import InputError, UnsupportedModelError, VerificationError

RNG = np.random.default_rng(0)
N = 256
SPARSE = unstructured(RNG, (N, N), 0.05)
TEXT = f"agraph (float[b,{N}] x) => (float[b,{N}] y) {{ h = MatMul(x, w)\n y = Relu(h) }}"


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def test_a_model_is_compiled_saved_and_agrees(mlp: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    compiled = nfcompile.compile(mlp)
    compiled.save(out)
    assert operators(out) == ["SparseChain", "Gemm"]
    assert [item.encoding for item in compiled.decisions] == [
        "csr", "bsr", "block-diagonal", "dense",
    ]  # fmt: skip
    assert compiled.report.passed
    assert nfcompile.verify(mlp, out).passed
    assert compiled.after.nbytes < compiled.before.nbytes / 4
    assert compiled.after.macs < compiled.before.macs / 4
    x = RNG.standard_normal((5, N)).astype(np.float32)
    expected = nfcompile.session(mlp).run(None, {"x": x})[0]
    got = nfcompile.session(out, threads=1).run(None, {"x": x})[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_the_batch_stays_dynamic_and_may_be_empty(mlp: Path, tmp_path: Path) -> None:
    nfcompile.compile(mlp).save(tmp_path / "out.onnx")
    session = nfcompile.session(tmp_path / "out.onnx")
    for batch in (0, 1, 9):
        (y,) = session.run(None, {"x": np.ones((batch, N), np.float32)})
        assert y.shape == (batch, 16)


def test_models_in_memory_are_taken_and_not_changed() -> None:
    proto = model_proto(TEXT, w=SPARSE)
    before = proto.SerializeToString()
    assert nfcompile.compile(proto).decisions[0].encoding == "csr"
    assert proto.SerializeToString() == before
    graph = ir.from_proto(proto)
    assert nfcompile.compile(graph).decisions[0].encoding == "csr"
    assert [node.op_type for node in graph.graph] == ["MatMul", "Relu"]


def test_the_portable_target_uses_no_domain_of_ours(mlp: Path, tmp_path: Path) -> None:
    text = "infer-shapes,encode-weights{force=block-diagonal},legalize-portable,remove-unused"
    compiled = nfcompile.compile(mlp, target="portable", passes=text)
    compiled.save(tmp_path / "out.onnx")
    assert {node.domain for node in onnx.load(tmp_path / "out.onnx").graph.node} == {""}
    assert any(item.encoding == "block-diagonal" for item in compiled.decisions)


def test_compiling_twice_changes_nothing_and_says_so(mlp: Path, tmp_path: Path) -> None:
    nfcompile.compile(mlp).save(tmp_path / "once.onnx")
    again = nfcompile.compile(tmp_path / "once.onnx")
    again.save(tmp_path / "twice.onnx")
    assert any("compiled by nfcompile already" in str(item) for item in again.remarks)
    first, second = (onnx.load(tmp_path / name) for name in ("once.onnx", "twice.onnx"))
    assert list(first.graph.node) == list(second.graph.node)
    assert len(again.decisions) == 4
    assert list(first.metadata_props) == list(second.metadata_props)
    with pytest.raises(UnsupportedModelError, match="compiled for ort-cpu already"):
        nfcompile.compile(tmp_path / "once.onnx", target="portable")


def test_example_inputs_are_checked_and_used() -> None:
    proto = model_proto(TEXT, w=SPARSE)
    assert nfcompile.compile(proto, {"x": np.ones((2, N), np.float32)}).report.samples == 3
    for bad, words in (
        ({"x": np.ones((2, 9), np.float32)}, r"example input x must have shape \[b,256\]"),
        ({"x": np.ones((2, N))}, "example input x must be float32, got float64"),
        ({"z": np.ones((2, N), np.float32)}, "example inputs lack x"),
        ({"x": np.ones((2, N), np.float32), "q": np.ones(1)}, "example inputs have q"),
    ):
        with pytest.raises(InputError, match=words):
            nfcompile.compile(proto, bad)


def test_a_wrong_result_is_an_error_and_nothing_can_be_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spoil(model: ir.Model, *args: Any, **kwargs: Any) -> None:
        tensor = model.graph.initializers["w"].const_value
        assert tensor is not None
        wrong = tensor.numpy().copy()
        wrong[0, 0] += 1
        model.graph.initializers["w"].const_value = ir.Tensor(wrong, name="w")

    monkeypatch.setattr(nfcompile.compiler, "run_pipeline", spoil)
    with pytest.raises(VerificationError, match="output y differs in"):
        nfcompile.compile(model_proto(TEXT, w=SPARSE))


def test_operators_that_nobody_here_knows_pass_through(tmp_path: Path) -> None:
    proto = model_proto(
        f"agraph (float[b,{N}] x) => (float[b,{N}] y) {{ h = MatMul(x, w)\n"
        " u = my.domain.Mystery<level=3>(h)\n v = Relu(u)\n y = MatMul(v, w2) }",
        w=SPARSE,
        w2=SPARSE[::-1].copy(),
    )
    proto.opset_import.append(onnx.helper.make_opsetid("my.domain", 1))
    compiled = nfcompile.compile(proto)
    compiled.save(tmp_path / "out.onnx")
    assert operators(tmp_path / "out.onnx") == ["CsrMatMul", "Mystery", "Relu", "CsrMatMul"]
    assert {item.name for item in compiled.report.outputs} == {"y", "cut.u.operand0"}


def test_a_difference_before_an_unknown_operator_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = model_proto(
        f"agraph (float[b,{N}] x) => (float[b,{N}] y)"
        " { h = MatMul(x, w)\n y = my.domain.Mystery(h) }",
        w=SPARSE,
    )
    proto.opset_import.append(onnx.helper.make_opsetid("my.domain", 1))

    def spoil(model: ir.Model, *args: Any, **kwargs: Any) -> None:
        model.graph.initializers["w"].const_value = ir.Tensor(SPARSE * 2, name="w")

    monkeypatch.setattr(nfcompile.compiler, "run_pipeline", spoil)
    with pytest.raises(VerificationError, match=r"cut\.y\.operand0"):
        nfcompile.compile(proto)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(target="gpu"), "unknown target 'gpu': known: ort-cpu, ort-cuda, portable"),
        (Options(threads=0), "threads must be at least 1, got 0"),
        (Options(passes="nope"), "unknown pass 'nope'"),
        (Options(weights=Path("w.pt")), "weights and input shapes go with a reference"),
    ],
)
def test_bad_options_give_one_line(options: Options, words: str) -> None:
    with pytest.raises(InputError, match=words):
        compile_model(model_proto(TEXT, w=SPARSE), None, options)


def test_something_that_is_no_model_is_told() -> None:
    with pytest.raises(InputError, match="cannot compile a int"):
        nfcompile.compile(3)


def test_a_model_that_does_not_run_is_told_before_any_work() -> None:
    proto = model_proto(
        f"agraph (float[b,{N}] x) => (float[b,7] y) {{ y = MatMul(x, w) }}", w=SPARSE[:9]
    )
    with pytest.raises(UnsupportedModelError, match="ONNX Runtime"):
        nfcompile.compile(proto)


@pytest.mark.parametrize("opset", [11, 13, 17, 21])
def test_opsets_from_eleven_on_are_taken(opset: int) -> None:
    compiled = nfcompile.compile(model_proto(TEXT, opset=opset, w=SPARSE))
    assert compiled.decisions[0].encoding == "csr"


@pytest.mark.parametrize("kind", ["onnx", "onnx_ir"])
def test_an_older_opset_is_left_as_it_is_with_advice(kind: str) -> None:
    proto = model_proto(TEXT, opset=9, w=SPARSE)
    compiled = nfcompile.compile(proto if kind == "onnx" else ir.from_proto(proto))
    assert not compiled.decisions
    assert any("(onnx.version_converter brings it up)" in str(item) for item in compiled.remarks)


@pytest.mark.parametrize(
    "weight",
    [np.zeros((N, N), np.float32), np.where(np.arange(N)[:, None] % 3, SPARSE, 0), -0.0 * SPARSE],
    ids=["zeros", "zero rows", "negative zeros"],
)
def test_odd_weights_are_taken(weight: np.ndarray) -> None:
    assert nfcompile.compile(model_proto(TEXT, w=weight.astype(np.float32))).report.passed


@pytest.mark.parametrize("shape", [(N, 1), (1, N), (1, 1)])
def test_dimensions_of_one_are_taken(shape: tuple[int, int]) -> None:
    text = f"agraph (float[b,{shape[0]}] x) => (float[b,{shape[1]}] y) {{ y = MatMul(x, w) }}"
    assert nfcompile.compile(model_proto(text, w=unstructured(RNG, shape, 0.3))).report.passed


def test_a_dimension_of_zero_passes_through() -> None:
    text = "agraph (float[b,8] x) => (float[b,0] y) { y = MatMul(x, w) }"
    compiled = nfcompile.compile(model_proto(text, w=np.zeros((8, 0), np.float32)))
    assert any("is empty" in str(item) for item in compiled.remarks)


def test_saving_leaves_nothing_behind_when_it_fails(
    mlp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = nfcompile.compile(mlp)
    out = tmp_path / "out.onnx"
    out.write_text("what was there before")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(InputError, match=r"cannot write .*out\.onnx: No space left on device"):
        compiled.save(out)
    assert [item.name for item in tmp_path.iterdir()] == ["out.onnx"]
    assert out.read_text() == "what was there before"


def test_models_over_the_protobuf_limit_are_saved_with_external_data(
    mlp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nfcompile.ir.protobuf.MAX_PROTOBUF_BYTES", 1)
    monkeypatch.setattr("nfcompile.ir.protobuf._LARGE", 1000)
    nfcompile.compile(mlp).save(tmp_path / "out.onnx")
    assert {item.name for item in tmp_path.iterdir()} == {"out.onnx", "out.onnx.data"}
    assert nfcompile.verify(mlp, tmp_path / "out.onnx").passed


def test_files_that_were_read_are_never_written_over(tmp_path: Path) -> None:
    source = tmp_path / "m.onnx"
    onnx.save(
        model_proto(TEXT, w=SPARSE), source, save_as_external_data=True, location="m.bin",
        size_threshold=0,
    )  # fmt: skip
    before = (tmp_path / "m.bin").read_bytes()
    compiled = nfcompile.compile(source)
    for name in ("m.onnx", "m.bin"):
        with pytest.raises(InputError, match="must differ from the input"):
            compiled.save(tmp_path / name)
    assert (tmp_path / "m.bin").read_bytes() == before


def test_decisions_that_the_pipeline_did_not_carry_out_are_told_as_dense() -> None:
    proto = model_proto(TEXT, w=SPARSE)
    left = nfcompile.compile(proto, passes="encode-weights{force=csr}").decisions[0]
    assert (left.encoding, left.bytes_encoded) == ("dense", left.bytes_dense)
    assert "no legalize pass" in left.reason
    carried = nfcompile.compile(proto, passes="encode-weights{force=csr},legalize-ort-cpu")
    assert carried.decisions[0].encoding == "csr"


def test_tuning_measures_once_and_says_what_it_saw(
    mlp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NFCOMPILE_CACHE_DIR", str(tmp_path / "cache"))
    told: list[str] = []
    options = Options(threads=1, tune=True, measuring=lambda what, *rest: told.append(what))
    compiled = compile_model(mlp, None, options)
    assert any(text.startswith(f"measuring {N}x{N}: dense, ") for text in told)
    measured = [item for item in compiled.decisions if item.measured_us]
    assert measured
    for item in measured:
        assert "measured" in item.reason and item.batches == (1, 16, 64, 256)
        assert {len(us) for us in item.measured_us.values()} == {4}
        assert item.measured_us.keys() <= item.estimates_us.keys()
    compiled.save(tmp_path / "out.onnx")
    assert nfcompile.verify(mlp, tmp_path / "out.onnx").passed
    told.clear()
    again = nfcompile.compile(mlp, threads=1, tune=True, tune_seconds=5)
    assert not told
    assert again.decisions == compiled.decisions
    assert any("known from before [tune]" in str(item) for item in again.remarks)
    assert not any(item.measured_us for item in nfcompile.compile(mlp, threads=1).decisions)


def test_a_budget_that_does_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="tune-seconds needs tune"):
        nfcompile.compile(model_proto(TEXT, w=SPARSE), tune_seconds=3)
    with pytest.raises(InputError, match="tune-seconds must be a number above 0"):
        nfcompile.compile(model_proto(TEXT, w=SPARSE), tune=True, tune_seconds=0)


def test_bf16_halves_the_weights_and_stays_within_its_rounding(tmp_path: Path) -> None:
    path = tmp_path / "source.onnx"
    onnx.save(model_proto(TEXT, w=SPARSE), path)
    wide = nfcompile.compile(path, threads=1)
    narrow = nfcompile.compile(path, threads=1, precision="bf16")
    narrow.save(tmp_path / "bf16.onnx")
    assert narrow.after.nbytes < 0.8 * wide.after.nbytes
    assert narrow.decisions[0].bytes_encoded < wide.decisions[0].bytes_encoded
    assert narrow.report.passed and narrow.report.outputs[0].max_abs > 0
    # What was compiled so says so: it is compared as such.
    assert nfcompile.verify(path, tmp_path / "bf16.onnx").passed
    assert not nfcompile.verify(path, tmp_path / "bf16.onnx", rtol=1e-6, atol=0).passed


def test_an_unknown_precision_or_one_without_operators_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "source.onnx"
    onnx.save(model_proto(TEXT, w=SPARSE), path)
    with pytest.raises(InputError, match="precision must be one of fp32, bf16, got 'int8'"):
        nfcompile.compile(path, precision="int8")
    with pytest.raises(InputError, match="precision must be fp32 for target portable"):
        nfcompile.compile(path, target="portable", precision="bf16")


def test_a_model_that_stays_dense_is_held_to_fp32_whatever_was_asked_for(tmp_path: Path) -> None:
    dense = RNG.standard_normal((N, N)).astype(np.float32)
    onnx.save(model_proto(TEXT, w=dense), tmp_path / "source.onnx")
    compiled = nfcompile.compile(tmp_path / "source.onnx", threads=1, precision="bf16")
    assert compiled.model.metadata_props["nfcompile.precision"] == "fp32"
    assert compiled.report.outputs[0].max_of_largest < 1e-5

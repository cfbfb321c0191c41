"""Engines: what they run, and what they say when they cannot."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from support import model_proto

import nfcompile
from nfcompile.errors import EngineMissingError, InputError, UnsupportedModelError
from nfcompile.runtime.openvino import OpenVinoEngine
from nfcompile.runtime.ort import OrtEngine
from nfcompile.runtime.sampling import sample_inputs

X = np.arange(12, dtype=np.float32).reshape(3, 4) - 6


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(
        model_proto("agraph (float[b,4] x) => (float[b,4] y) { y = Relu(x) }"), tmp_path / "m.onnx"
    )
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("engine", [OrtEngine(), OpenVinoEngine(), OpenVinoEngine(precision="")])
def test_an_engine_runs_a_model_by_names(engine: OrtEngine | OpenVinoEngine, path: Path) -> None:
    outputs = engine.load(path, threads=1).run({"x": X})
    np.testing.assert_array_equal(outputs["y"], np.maximum(X, 0))


def test_a_session_is_a_plain_one_with_options(path: Path) -> None:
    import onnxruntime

    session = nfcompile.session(path, threads=1, enable_profiling=False)
    assert type(session) is onnxruntime.InferenceSession
    assert session.get_session_options().intra_op_num_threads == 1
    with pytest.raises(InputError, match="no such file"):
        nfcompile.session(path.with_name("none.onnx"))


@pytest.mark.parametrize("engine", [OrtEngine(), OpenVinoEngine()])
def test_a_model_that_cannot_be_loaded_is_told_in_one_line(
    engine: OrtEngine | OpenVinoEngine, tmp_path: Path
) -> None:
    path = tmp_path / "bad.onnx"
    onnx.save(model_proto("agraph (float[b,4] x) => (float[b,4] y) { y = NoSuch(x) }"), path)
    with pytest.raises(UnsupportedModelError, match="cannot load") as caught:
        engine.load(path, threads=1)
    assert "\n" not in str(caught.value)


def test_inputs_that_do_not_fit_are_told(path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"fails on inputs x \[3, 5\]"):
        OrtEngine().load(path, 1).run({"x": np.ones((3, 5), np.float32)})


@pytest.mark.parametrize(
    ("package", "load"),
    [
        ("onnxruntime", lambda p: OrtEngine().load(p, 1)),
        ("openvino", lambda p: OpenVinoEngine().load(p, 1)),
    ],
)
def test_a_missing_package_is_told_with_how_to_get_it(
    package: str, load: object, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineMissingError, match=f"pip install {package}"):
        load(path)  # type: ignore[operator]


def test_a_library_that_is_not_built_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineMissingError, match=r"libnfcompile_ops\.so is not built"):
        nfcompile.op_library_path()


def test_samples_fit_names_types_and_open_dimensions() -> None:
    model = ir.from_proto(
        model_proto(
            "agraph (float[b,4] x, int64[b,s] ids, bool[1] flag, float16[2] h) => (float[b,4] y)"
            " { y = Relu(x) }"
        )
    )
    inputs = sample_inputs(model, 3, np.random.default_rng(0))
    assert {name: item.shape for name, item in inputs.items()} == {
        "x": (3, 4), "ids": (3, 5), "flag": (1,), "h": (2,),
    }  # fmt: skip
    assert inputs["ids"].dtype == np.int64
    assert set(inputs["ids"].reshape(-1)) <= {0, 1}
    assert inputs["flag"].dtype == bool
    assert inputs["h"].dtype == np.float16


@pytest.mark.parametrize(
    ("signature", "words"), [("string[b] x", "holds strings"), ("float x", "")]
)
def test_inputs_that_cannot_be_made_up_are_told(signature: str, words: str) -> None:
    model = ir.from_proto(model_proto(f"agraph ({signature}) => (float[b] y) {{ y = Relu(x) }}"))
    if not words:
        assert sample_inputs(model, 2, np.random.default_rng(0))["x"].shape == ()
        return
    with pytest.raises(UnsupportedModelError, match=words):
        sample_inputs(model, 2, np.random.default_rng(0))

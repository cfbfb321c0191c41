"""Builds of the operators are compared before they are timed."""

from pathlib import Path

import builds
import numpy as np
import onnx
import pytest
from support import model_proto

from nfcompile.runtime.op_library import op_library_path


def written(folder: Path) -> Path:
    proto = model_proto("agraph (float[n, 4] x) => (float[n, 4] y) { y = Relu(x) }")
    onnx.save(proto, folder / "m.onnx")
    return folder / "m.onnx"


def test_builds_of_one_library_agree_and_are_timed(tmp_path: Path) -> None:
    inputs = {"x": np.ones((3, 4), np.float32)}
    calls = builds.calls_of(written(tmp_path), [Path(op_library_path())] * 2, inputs, "fp32")
    assert len(calls) == 2 and all(call() > 0 for call in calls)


def test_builds_that_differ_are_not_timed(tmp_path: Path) -> None:
    inputs = {"x": np.full((3, 4), np.nan, np.float32)}
    with pytest.raises(SystemExit, match="differ"):
        builds.calls_of(written(tmp_path), [Path(op_library_path())] * 2, inputs, "fp32")

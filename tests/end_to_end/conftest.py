"""What the end-to-end tests share: a dense model with its compiled form, and torch kept small."""

from pathlib import Path

import pytest

import nfcompile


@pytest.fixture(scope="session")
def compiled_mlp(mlp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mlp` compiled for ort-cpu: all three of our operators, and a dense layer."""
    path = tmp_path_factory.mktemp("compiled") / "model.onnx"
    nfcompile.compile(mlp).save(path)
    return path

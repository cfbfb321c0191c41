"""A report names what it was measured on."""

from pathlib import Path

import pytest

from nfcompile.bench import environment
from nfcompile.bench.environment import describe


def test_processor_versions_and_instruction_sets_are_told() -> None:
    found = describe(3)
    assert found["threads"] == 3
    assert found["packages"]["onnxruntime"] == found["onnxruntime"]
    assert set(found["instruction_sets"]) <= set(environment._FLAGS)


def test_peers_are_told_with_versions_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NFCOMPILE_PEERS", str(tmp_path))
    assert describe()["peers"] == {}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    folder = tmp_path / "lib" / "python3.11" / "site-packages" / "deepsparse-9.9.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: deepsparse\nVersion: 9.9\n")
    assert describe()["peers"] == {"deepsparse": "9.9"}

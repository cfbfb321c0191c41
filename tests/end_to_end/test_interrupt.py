"""A compilation that is stopped, or that finds no room, leaves nothing behind."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from support import model_proto, unstructured
from typer.testing import CliRunner

import nfcompile
from nfcompile.cli import app

COMMAND = [sys.executable, "-c", "from nfcompile.__main__ import main; main()", "compile"]
INTERRUPTED = 130
OLDER = "an older model"
# ONNX Runtime keeps a file of its own in the folder for temporary files.
NOT_OURS = {".ses"}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes a second or more to compile."""
    rng, n, layers = np.random.default_rng(0), 2048, 3
    values = ["x", *(f"h{i}" for i in range(1, layers)), "y"]
    body = "\n".join(f"{values[i + 1]} = MatMul({values[i]}, w{i})" for i in range(layers))
    text = f"agraph (float[b, {n}] x) => (float[b, {n}] y) {{ {body} }}"
    path = tmp_path_factory.mktemp("large") / "large.onnx"
    constants = {f"w{i}": unstructured(rng, (n, n), 0.02) for i in range(layers)}
    onnx.save(model_proto(text, **constants), path)
    return path


class Folders:
    """Where a compilation writes: the output's folder, and the one for temporary files."""

    def __init__(self, root: Path) -> None:
        self.out, self.temporary = root / "out", root / "temporary"
        self.out.mkdir()
        self.temporary.mkdir()
        self.model = self.out / "model.onnx"
        self.environment = {**os.environ, "TMPDIR": str(self.temporary)}

    def left(self) -> set[str]:
        """Names of what is there."""
        return {item.name for item in (*self.out.iterdir(), *self.temporary.iterdir())} - NOT_OURS


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@contextlib.contextmanager
def compiling(source: Path, folders: Folders) -> Iterator["subprocess.Popen[str]"]:
    """A compilation that has begun to work: its staging folder is there."""
    with subprocess.Popen(
        [*COMMAND, str(source), "-o", str(folders.model)],
        env=folders.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while not list(folders.temporary.glob("nfcompile-*")):
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.005)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("delay", [0.0, 0.4, 1.1])
def test_an_interrupt_leaves_no_file_and_no_half_of_one(
    large: Path, folders: Folders, delay: float
) -> None:
    folders.model.write_text(OLDER)
    with compiling(large, folders) as process:
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        code = process.returncode
    assert folders.left() == {"model.onnx"}
    if folders.model.read_bytes() != OLDER.encode():  # it was done
        assert code in (0, INTERRUPTED, -signal.SIGINT)
        assert nfcompile.verify(large, folders.model, samples=1).passed
    else:
        assert code == INTERRUPTED, said
        assert said.splitlines() == ["nfcompile: interrupted"]


def limit_files() -> None:
    """Lets every write beyond 4 KiB into a file fail, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def refused(code: str, source: Path, folders: Folders, limited: bool) -> str:
    """Runs a compilation that must fail, and returns its one line."""
    done = subprocess.run(
        [sys.executable, "-c", code, "compile", str(source), "-o", str(folders.model)],
        env={**folders.environment, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=limit_files if limited else None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("nfcompile: error: cannot write")
    return line


MAIN = "from nfcompile.__main__ import main\nmain()"

# The limit falls between staging and publishing: as if only the output's disk were full.
FULL_LATER = f"""
import resource, signal
from nfcompile.compiler import Compiled

save = Compiled.save

def limited(self, path):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    save(self, path)

Compiled.save = limited
{MAIN}
"""


def test_a_full_disk_for_temporary_files_is_one_line(mlp: Path, folders: Folders) -> None:
    line = refused(MAIN, mlp, folders, limited=True)
    assert str(folders.temporary) in line
    assert "File too large; set TMPDIR" in line
    assert folders.left() == set()


def test_a_full_disk_for_the_output_leaves_alone_what_was_there(
    mlp: Path, folders: Folders
) -> None:
    folders.model.write_text(OLDER)
    line = refused(FULL_LATER, mlp, folders, limited=False)
    assert line.endswith(f"cannot write {folders.model}: File too large")
    assert folders.model.read_text() == OLDER
    assert folders.left() == {"model.onnx"}


def test_a_full_disk_is_one_line_for_a_model_with_unknown_operators_too(
    mlp: Path, folders: Folders, tmp_path: Path
) -> None:
    # Such a model is cut into parts that can be run, and those are written too.
    proto = onnx.load(mlp)
    proto.graph.node[1].domain = "my.domain"
    proto.opset_import.append(onnx.helper.make_opsetid("my.domain", 1))
    onnx.save(proto, tmp_path / "unknown.onnx")
    refused(MAIN, tmp_path / "unknown.onnx", folders, limited=True)
    assert folders.left() == set()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to")
def test_an_output_folder_that_takes_no_files_is_one_line(mlp: Path) -> None:
    done = CliRunner().invoke(app, ["compile", str(mlp), "-o", "/proc/model.onnx"])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("nfcompile: error: ")
    assert "/proc" in line

"""A worker runs an engine in an interpreter of its own and tells what happens there."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nfcompile.errors import EngineMissingError, UnsupportedModelError
from nfcompile.runtime.peers.serve import decode, encode
from nfcompile.runtime.worker import WorkerRunner, peers_python

PEER = """
import os, sys, time
print("talk on stdout is not a reply")

class Peer:
    def __init__(self, factor, threads):
        self.factor, self.threads = factor, threads

    def bind(self, inputs):
        x = inputs["x"]
        def call():
            if x.size == 0:
                os._exit(3)
            if x[0] < 0:
                raise ValueError("x must not be negative\\nand more")
            time.sleep(0.01)
            return x * self.factor + self.threads
        return call

    def outputs(self, result):
        return {"y": result}

def load(model, threads):
    if model is None:
        raise ValueError("no model")
    return Peer(model, threads)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fake_peer.py").write_text(PEER)
    (tmp_path / "lacking_peer.py").write_text("import no_such_package\n")
    return tmp_path


def start(folder: Path, module: str = "fake_peer", model: object = 3) -> WorkerRunner:
    return WorkerRunner("Fake", Path(sys.executable), module, model, 2, cwd=folder)


X = np.arange(4, dtype=np.float32)


def test_arrays_survive_the_pipe() -> None:
    arrays = {"a": X.reshape(2, 2), "b": np.array(True), "c": np.zeros((0, 3), np.int64)}
    back = decode(encode(arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


def test_a_worker_runs_a_model_by_names(folder: Path) -> None:
    runner = start(folder)
    np.testing.assert_array_equal(runner.run({"x": X})["y"], X * 3 + 2)
    np.testing.assert_array_equal(runner.run({"x": X[:2]})["y"], X[:2] * 3 + 2)


def test_the_worker_times_its_own_calls(folder: Path) -> None:
    call = start(folder).timed({"x": X})
    assert call() >= 1e4  # the peer sleeps that long, in microseconds


def test_what_fails_there_is_told_in_one_line_and_the_worker_lives(folder: Path) -> None:
    runner = start(folder)
    with pytest.raises(UnsupportedModelError, match="Fake fails at run: ValueError: x must not be"):
        runner.run({"x": -X - 1})
    assert runner.run({"x": X})["y"][0] == 2
    with pytest.raises(UnsupportedModelError, match="Fake fails at load: ValueError: no model"):
        start(folder, model=None)


def test_a_worker_that_dies_is_told(folder: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="worker of Fake ended with code 3 at run"):
        start(folder).run({"x": X[:0]})


def test_a_package_that_is_missing_there_is_told(folder: Path) -> None:
    with pytest.raises(EngineMissingError, match=r"no_such_package.*make bench-peers"):
        start(folder, "lacking_peer")


def test_an_idle_worker_does_not_spin(folder: Path) -> None:
    runner = start(folder)
    process = runner._process

    def cpu_ticks() -> int:
        return sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().split()[13:15]))

    before = cpu_ticks()
    time.sleep(0.5)  # 50 ticks
    assert cpu_ticks() - before < 25


def test_a_worker_ends_with_its_runner(folder: Path) -> None:
    runner = start(folder)
    process = runner._process
    del runner
    assert process.poll() == 0


def test_peers_that_are_not_set_up_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NFCOMPILE_PEERS", str(tmp_path))
    with pytest.raises(EngineMissingError, match="make bench-peers"):
        peers_python()

"""Engines in a process of their own, with an interpreter and packages of their own.

A worker runs `peers/serve.py`, which says how they talk. It times its own calls, so that the pipe
is in no figure, and blocks while it is idle.
"""

import os
import pickle
import subprocess
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nfcompile.errors import EngineMissingError, UnsupportedModelError
from nfcompile.runtime.engine import TimedCall
from nfcompile.runtime.peers.serve import decode, encode

__all__ = ["WorkerRunner", "peers_python"]

_SERVE = Path(__file__).with_name("peers") / "serve.py"
_END_S = 5.0


def peers_python() -> Path:
    """The interpreter that has the peers: of NFCOMPILE_PEERS, or of `build/peers` here.

    Raises:
        EngineMissingError: If there is none.
    """
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("NFCOMPILE_PEERS") or root / "build" / "peers")
    python = folder / "bin" / "python"
    if not python.is_file():
        raise EngineMissingError("the peers are not installed: make bench-peers")
    return python


class WorkerRunner:
    """A model in a worker, which ends with this object."""

    def __init__(
        self, name: str, python: Path, module: str, model: Any, threads: int, *, cwd: Path | None
    ) -> None:
        """Starts a worker and loads a model there.

        Args:
            name: What messages call the engine.
            python: The interpreter.
            module: A module beside `serve.py`, or in `cwd`.
            model: What its `load` takes.
            threads: Threads of one inference.
            cwd: Where the worker runs.

        Raises:
            UnsupportedModelError: If the engine cannot load the model.
            EngineMissingError: If it is not installed there.
        """
        self._name = name
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(cwd or "")}
        self._process = subprocess.Popen(
            [python, _SERVE, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=cwd,
        )
        weakref.finalize(self, _end, self._process)
        self._ask(do="load", model=model, threads=threads)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name.

        Raises:
            UnsupportedModelError: If the engine fails on these inputs.
        """
        self._ask(do="bind", inputs=encode(dict(inputs)))
        return decode(self._ask(do="run"))

    def timed(self, inputs: Mapping[str, np.ndarray]) -> TimedCall:
        """A call on these inputs, timed by the worker; they stay the ones that `run` took last."""
        self._ask(do="bind", inputs=encode(dict(inputs)))
        return lambda: float(self._ask(do="time"))

    def _ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()
            reply = pickle.load(self._process.stdout)
        except (BrokenPipeError, EOFError) as error:
            code = self._process.wait(_END_S)
            raise UnsupportedModelError(
                f"the worker of {self._name} ended with code {code} at {request['do']}"
            ) from error
        if "result" in reply:
            return reply["result"]
        if reply["error"].startswith(("ModuleNotFoundError", "ImportError")):
            raise EngineMissingError(
                f"{self._name} is not installed with the peers ({reply['error']}): make bench-peers"
            )
        raise UnsupportedModelError(f"{self._name} fails at {request['do']}: {reply['error']}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Closes the pipe, which ends the worker; kills it where it does not end soon."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

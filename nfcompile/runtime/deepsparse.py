"""DeepSparse 1.8.0, the last release, in a worker: it needs numpy below 2 and Python to 3.11."""

from pathlib import Path

from nfcompile.runtime.worker import WorkerRunner, peers_python

__all__ = ["DeepSparseEngine"]


class DeepSparseEngine:
    """DeepSparse, latency mode; it finds the zeros of dense weights itself."""

    name = "deepsparse"

    def load(self, path: Path, threads: int) -> WorkerRunner:
        """Starts a worker with the model at `path`.

        Raises:
            EngineMissingError: If the peers are not installed.
            UnsupportedModelError: If DeepSparse cannot load it.
        """
        python = peers_python()
        return WorkerRunner(
            "DeepSparse", python, "run_deepsparse", str(path.resolve()), threads, cwd=None
        )

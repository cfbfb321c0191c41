"""The contenders on one case: what could be loaded, and why the rest could not."""

from collections.abc import Callable, Sequence
from pathlib import Path

from nfcompile.bench.case import Case
from nfcompile.bench.contenders import REFERENCE, Contender
from nfcompile.errors import NfcompileError
from nfcompile.runtime.engine import Runner, TimedRunner
from nfcompile.runtime.scipy import ScipyEngine

__all__ = ["Field", "reason_of"]


class Field:
    """The contenders on one case, loaded for a number of threads.

    Attributes:
        runners: Those that could be loaded.
        reasons: Why others could not.
        reference: What all are compared with, if it could be loaded.
    """

    def __init__(
        self, case: Case, contenders: Sequence[Contender], folder: Path,
        progress: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._case = case
        self._contenders = contenders
        self._folder = folder
        self._progress = progress
        self._broken = ""
        self.runners: dict[str, TimedRunner] = {}
        self.reasons: dict[str, str] = {}
        self.reference: Runner | None = None
        try:
            self._network = case.build(folder)
        except Exception as error:  # a package that is missing, or memory
            self._broken = reason_of(error)

    def load(self, threads: int) -> None:
        """Loads all on `threads` threads, in place of those there are."""
        self.runners, self.reference = {}, None  # frees them first
        self.reasons = dict.fromkeys((item.name for item in self._contenders), self._broken)
        if self._broken:
            return
        self.reasons = {}
        for item in self._contenders:
            self._progress(f"{self._case.name}, {threads} threads: loading {item.name}")
            try:
                path = item.file(self._network, self._folder, threads)
                self.runners[item.name] = item.load(path, threads)
            except Exception as error:  # an engine's own code raises anything
                self.reasons[item.name] = reason_of(error)
        self.reference = self.runners.get(REFERENCE)
        if self.reference is None:
            self.reference = ScipyEngine().load(self._network.graph, 1)


def reason_of(error: Exception) -> str:
    """The first line of an error, with its class if it is not one of ours."""
    lines = str(error).strip().splitlines() or [""]
    if isinstance(error, NfcompileError):
        return lines[0]
    return f"{type(error).__name__}: {lines[0]}".rstrip(": ")

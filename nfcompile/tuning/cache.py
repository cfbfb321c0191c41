"""What was measured, in a file per machine: `$XDG_CACHE_HOME/nfcompile/tune-<machine>.json`.

The file is whole or absent: it is written beside its place, then renamed. Writers take turns by a
lock, and each adds to what it finds there. A file that is damaged, or another machine's under this
one's name, is ignored with a note and replaced.
"""

import fcntl
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nfcompile.cost.measured import Measurement, Measurements
from nfcompile.tuning.machine import Machine

__all__ = ["Layers", "TuningCache", "cache_folder"]

Times = Mapping[str, Measurements]
"""Measured times by pattern."""

Layers = dict[str, Times]
"""Those of each layer, by a text that tells layers apart."""

_FORMAT = 1


def cache_folder() -> Path:
    """NFCOMPILE_CACHE_DIR if it is set, else the user's cache folder for nfcompile."""
    given = os.environ.get("NFCOMPILE_CACHE_DIR")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "nfcompile"


class TuningCache:
    """The measurements of one machine.

    Attributes:
        path: The file.
        notes: What was wrong with it, in words.
    """

    def __init__(self, folder: Path, machine: Machine) -> None:
        digest = hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()
        self.path = folder / f"tune-{digest[:16]}.json"
        self.notes: list[str] = []
        self._machine = machine
        self._layers = self._read()

    def get(self, layer: str) -> Times | None:
        """What is known of a layer."""
        return self._layers.get(layer)

    def add(self, layer: str, times: Times) -> None:
        """Remembers a layer, here and in the file; a file that cannot be written is noted."""
        self._layers[layer] = times
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _turn(self.path):
                self._layers = {**self._read(), **self._layers}
                _replace(self.path, _to_json(self._machine, self._layers))
        except OSError as error:
            self._note(
                f"measured times are not kept: cannot write {self.path.name} in the cache folder: "
                f"{error.strerror}"
            )

    def _read(self) -> Layers:
        try:
            data = json.loads(self.path.read_bytes())
            if data["format"] != _FORMAT or data["machine"] != self._machine:
                self._note(f"{self.path.name} in the cache folder is another machine's: ignored")
                return {}
            return {layer: _from_json(times) for layer, times in data["layers"].items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            self._note(f"{self.path.name} in the cache folder is not readable: {error.strerror}")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self._note(f"{self.path.name} in the cache folder is damaged: ignored")
        return {}

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _from_json(times: Mapping[str, list[tuple[float, float]]]) -> Times:
    found = {
        pattern: tuple(Measurement(float(median), float(noise)) for median, noise in at)
        for pattern, at in times.items()
    }
    for one in (item for at in found.values() for item in at):
        if not (0 < one.median_us < math.inf and 0 <= one.noise_us < math.inf):
            raise ValueError(f"no time: {one}")
    return found


def _to_json(machine: Machine, layers: Layers) -> str:
    times = {
        layer: {
            pattern: [(one.median_us, one.noise_us) for one in at] for pattern, at in of.items()
        }
        for layer, of in layers.items()
    }
    return json.dumps({"format": _FORMAT, "machine": machine, "layers": times}, indent=1)


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Waits until no one else writes `path`; the lock goes with the process that held it."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

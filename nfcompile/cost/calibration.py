"""Measured constants of the cost model: `calibration.json`, with where each set comes from.

`python benchmarks/calibrate.py` measures one set on the machine it runs on and writes it there. A
set belongs to an instruction set; where there is none for this one, the nearest below is taken.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

__all__ = ["BATCHES", "SIZES", "Constants", "constants", "provenance"]

BATCHES = (1, 16, 64, 256)
"""Batch sizes at which constants are measured."""

_NEAREST = {"amx_bf16": "avx512_bf16"}
"""Whose set is taken where none was measured."""

SIZES = (64, 256, 2048)
"""Widths at which constants are measured: in L1, in L2, and beyond it."""


@dataclass(frozen=True)
class Constants:
    """What one way of running a layer costs on one thread.

    Attributes:
        ns_per_mac: Nanoseconds per stored value and batch row, by [size, batch].
        ns_per_io: Nanoseconds per activation read or written and batch row, by [size, batch].
        overhead_us: Microseconds of a layer that has nearly nothing to do. What an operator costs
            that runs several of them, some 1.3, is charged to none.
    """

    ns_per_mac: np.ndarray
    ns_per_io: np.ndarray
    overhead_us: float

    def rate(self, shape: tuple[int, int], batch: int) -> float:
        """Nanoseconds per stored value and batch row, between the measured points."""
        return _between(self.ns_per_mac, _size(shape), batch)

    def estimate_us(
        self, shape: tuple[int, int], stored: int, batch: int, least_rate: float = 0.0
    ) -> float:
        """Microseconds of one call on one thread, between the measured points.

        Args:
            shape: (out, in).
            stored: Values stored.
            batch: Rows of the activations.
            least_rate: Nanoseconds that a stored value takes at least, whatever was fitted.
        """
        mac = max(self.rate(shape, batch), least_rate)
        moved = _between(self.ns_per_io, _size(shape), batch)
        return self.overhead_us + batch * (stored * mac + sum(shape) * moved) / 1e3


@cache
def _sets() -> dict[str, dict[str, object]]:
    text = Path(__file__).with_name("calibration.json").read_text()
    loaded: dict[str, dict[str, object]] = json.loads(text)
    return loaded


@cache
def constants(isa: str) -> Mapping[str, Constants]:
    """Constants by way of running a layer, such as `csr`, for an instruction set."""
    measured = _set_for(isa)["constants"]
    assert isinstance(measured, dict)
    assert np.isfinite([entry["ns_per_mac"] for entry in measured.values()]).all()
    return {
        name: Constants(
            np.asarray(entry["ns_per_mac"]), np.asarray(entry["ns_per_io"]), entry["overhead_us"]
        )
        for name, entry in measured.items()
    }


def provenance(isa: str) -> object:
    """Which machine, versions, date and command the constants for `isa` come from."""
    return _set_for(isa)["provenance"]


def _set_for(isa: str) -> dict[str, object]:
    return _sets()[_NEAREST.get(isa, isa)]


def _size(shape: tuple[int, int]) -> float:
    return float((shape[0] * shape[1]) ** 0.5)


def _between(table: np.ndarray, size: float, batch: int) -> float:
    """The table's value at (size, batch), linear in their logarithms and flat beyond the ends."""
    by_size = [np.interp(np.log2(max(batch, 1)), np.log2(BATCHES), row) for row in table]
    return float(np.interp(np.log2(max(size, 1)), np.log2(SIZES), by_size))

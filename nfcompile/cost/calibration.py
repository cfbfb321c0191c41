"""Measured constants of the cost model, with where each comes from.

All from `python benchmarks/calibrate.py`, which prints this table for the machine it runs on.
"""

from dataclasses import dataclass

from nfcompile.ir.candidates import Candidate
from nfcompile.target import Target

__all__ = ["Constants", "constants"]


@dataclass(frozen=True)
class Constants:
    """What one encoding costs on one thread.

    Attributes:
        ns_single: Nanoseconds per stored value and row of the batch, batch 1.
        ns_batched: The same at batch 64 and more.
        bytes_per_ns: Bandwidth at which weights stream in.
        ns_per_io: Nanoseconds per activation read or written.
        overhead_us: Microseconds of any call.
    """

    ns_single: float
    ns_batched: float
    bytes_per_ns: float
    ns_per_io: float = 0.0
    overhead_us: float = 2.0

    def ns_per_mac(self, batch: int) -> float:
        """Between the two measured ends, falling as 1/batch."""
        return self.ns_batched + (self.ns_single - self.ns_batched) / batch


def constants(candidate: Candidate, target: Target) -> Constants:
    """The constants of `candidate` on `target`."""
    if target.name == "portable" and candidate.kind != "dense":
        return _PORTABLE
    if candidate.kind == "bsr" and candidate.rows_per_index < 8:
        return _CSR
    if candidate.kind == "block-diagonal" and not candidate.regular:
        return _PERMUTED
    return {"dense": _DENSE, "csr": _CSR, "bsr": _BSR, "block-diagonal": _STRIDED}[candidate.kind]


_DENSE = Constants(0.2, 0.022, 20.0)
_CSR = Constants(0.4, 0.05, 16.0, 0.2)
_BSR = Constants(0.1, 0.03, 16.0)
_STRIDED = Constants(0.1, 0.04, 16.0, 0.05)
_PERMUTED = Constants(0.2, 0.06, 16.0, 0.4)
_PORTABLE = Constants(0.3, 0.05, 10.0, 0.5, 10.0)

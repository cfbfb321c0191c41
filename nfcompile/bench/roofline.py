"""The measured roofline: the least time that a product can take on this machine.

    seconds >= max(flops of non-zeros / peak, bytes / read bandwidth of where they come from)

Williams, Waterman, Patterson: "Roofline: an insightful visual performance model", CACM 2009.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from nfcompile import _native
from nfcompile.target import caches, isa

__all__ = ["Level", "Roofline", "measure_roofline"]

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SHARED = "L3"
_MEMORY = "DRAM"
_BEYOND = 4
"""Times the last cache: what is read to measure memory, so that a quarter at most is a hit."""
_WITHOUT_CACHES = 256 << 20


@dataclass(frozen=True)
class Level:
    """A level of the memory hierarchy.

    Attributes:
        name: Such as `L2`; the last is `DRAM`.
        capacity: Bytes that fit, per thread; None for memory.
        bandwidth: Bytes per second that all threads together read from it.
    """

    name: str
    capacity: int | None
    bandwidth: float


@dataclass(frozen=True)
class Roofline:
    """What a number of threads of this machine can do.

    Attributes:
        threads: Number of threads, all at work.
        peaks: Flops per second by arithmetic, `<dtype>-<isa>`; a multiply-add is two.
        levels: The memory hierarchy, nearest first.
    """

    threads: int
    peaks: dict[str, float]
    levels: tuple[Level, ...]

    def peak(self, dtype: str = "f32") -> float:
        """The best flops per second: for `f32` that of the selected kernels, else of any.

        Raises:
            KeyError: If the machine has no arithmetic of that type.
        """
        name = f"{dtype}-{isa()}"
        if dtype == "f32" and name in self.peaks:
            return self.peaks[name]
        found = [value for key, value in self.peaks.items() if key.startswith(f"{dtype}-")]
        if not found:
            raise KeyError(dtype)
        return max(found)

    def level(self, nbytes: float) -> Level:
        """The nearest level that a working set of that many bytes per thread fits into."""
        fits = (item for item in self.levels if item.capacity and nbytes <= item.capacity)
        return next(fits, self.levels[-1])

    def seconds(self, flops: float, nbytes: float, dtype: str = "f32") -> float:
        """The least time of a product.

        Args:
            flops: Two per stored weight and row of the batch.
            nbytes: Of weights and activations, which are the working set too: repeated calls find
                it in the nearest level that holds it.
            dtype: Arithmetic: `f32` or `bf16`.
        """
        level = self.level(nbytes / self.threads)
        return max(flops / self.peak(dtype), nbytes / level.bandwidth)

    def share(self, flops: float, nbytes: float, seconds: float, dtype: str = "f32") -> float:
        """The least time over a measured one: 1 is the limit of the machine."""
        return self.seconds(flops, nbytes, dtype) / seconds

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)


def measure_roofline(threads: int = 1, seconds: float = 0.1) -> Roofline:
    """Measures it, now.

    Args:
        threads: Number of threads, which all work at once.
        seconds: For each of about seven measurements.
    """
    peaks = {
        name: _native.measure_flops(name, seconds=seconds, threads=threads)
        for name in _native.arithmetic()
    }
    levels = []
    sizes = {name[:2]: _bytes(text) for name, text in caches().items()}
    for name, size in sizes.items():
        own = size // threads if name == _SHARED else size
        rate = _native.measure_read_bandwidth(own // 2, seconds=seconds, threads=threads)
        levels.append(Level(name, own, rate))
    far = _BEYOND * max(sizes.values()) if sizes else _WITHOUT_CACHES
    rate = _native.measure_read_bandwidth(far // threads, seconds=seconds, threads=threads)
    return Roofline(threads, peaks, (*levels, Level(_MEMORY, None, rate)))


def _bytes(text: str) -> int:
    """A size as Linux writes it, such as `32K`."""
    return int(text[:-1]) * _UNITS[text[-1]] if text[-1:] in _UNITS else int(text)

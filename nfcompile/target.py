"""What a model is compiled for, and what this machine is."""

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nfcompile.errors import InputError

__all__ = ["HALVES", "PRECISIONS", "TARGETS", "Target", "caches", "cpu_flags", "cpu_name", "isa"]

TARGETS = ("ort-cpu", "ort-cuda", "portable")
"""`ort-cpu`, `ort-cuda`: our operators in ONNX Runtime on a CPU or a GPU; `portable`: standard
operators only."""

PRECISIONS = ("fp32", "bf16")
"""What sparse fp32 weights are stored as, and their products computed in."""

HALVES = ("fp16", "bf16")
"""Types of the weights and activations of models in half precision."""

_AVX2 = {"avx2", "fma"}
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
_ISA_FLAGS = {
    "amx_bf16": _AVX512 | {"avx512_bf16", "amx_tile", "amx_bf16"},
    "avx512_bf16": _AVX512 | {"avx512_bf16"},
    "avx512": _AVX512,
    "avx2": _AVX2,
}


@dataclass(frozen=True)
class Target:
    """Where a compiled model will run.

    Attributes:
        name: One of `TARGETS`.
        threads: Threads that one inference may use.
        isa: Instruction set of the kernels: `amx_bf16`, `avx512_bf16`, `avx512`, `avx2`,
            `scalar`.
        precision: One of `PRECISIONS`.
        half: One of `HALVES` for a layer of that type, which keeps it whatever the precision;
            empty for fp32.

    Raises:
        InputError: If the name or the precision is not known or `threads` is below 1.
    """

    name: str = "ort-cpu"
    threads: int = 1
    isa: str = "scalar"
    precision: str = "fp32"
    half: str = ""

    def __post_init__(self) -> None:
        if self.name not in TARGETS:
            raise InputError(f"unknown target {self.name!r}: known: {', '.join(TARGETS)}")
        if self.precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            as_it_is = ": a model in fp16 is compiled as it is" * (self.precision == "fp16")
            raise InputError(f"precision must be one of {known}, got {self.precision!r}{as_it_is}")
        if self.precision != "fp32" and self.name == "portable":
            raise InputError("precision must be fp32 for target portable: ORT has no bf16 MatMul")
        if self.threads < 1:
            raise InputError(f"threads must be at least 1, got {self.threads}")

    @property
    def stored(self) -> str:
        """What sparse weights are stored as: the layer's half type, or the precision."""
        return self.half or self.precision

    @property
    def value_bytes(self) -> int:
        """Bytes of a stored value."""
        return 4 if self.stored == "fp32" else 2

    @property
    def activation_bytes(self) -> int:
        """Bytes of an activation, and of a value of a dense weight."""
        return 2 if self.half else 4

    @classmethod
    def host(
        cls, name: str = "ort-cpu", threads: int | None = None, precision: str = "fp32"
    ) -> "Target":
        """This machine, with all its cores unless `threads` is given."""
        cores = len(os.sched_getaffinity(0)) if threads is None else threads
        return cls(name, cores, isa(), precision)


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction set flags as the kernel names them; empty where it does not tell."""
    return frozenset(_cpuinfo("flags").split())


def cpu_name() -> str:
    """Model name of the processor."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def isa() -> str:
    """The best instruction set that kernels exist for here, lowered by NFCOMPILE_MAX_ISA."""
    order = [*_ISA_FLAGS, "scalar"]
    limit = os.environ.get("NFCOMPILE_MAX_ISA") or order[0]
    if limit not in order:
        raise InputError(f"NFCOMPILE_MAX_ISA must be one of {', '.join(order)}, got {limit!r}")
    allowed = order[order.index(limit) :]
    return next(
        (name for name in allowed if name == "scalar" or _ISA_FLAGS[name] <= cpu_flags()),
        "scalar",
    )


def caches() -> dict[str, str]:
    """Size of each cache of the first core by level, such as `{"L1d": "32K"}`."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind = _read(index / "level"), _read(index / "type")
        if kind != "Instruction":
            found[f"L{level}{'d' if kind == 'Data' else ''}"] = _read(index / "size")
    return found


def _read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _cpuinfo(key: str) -> str:
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""

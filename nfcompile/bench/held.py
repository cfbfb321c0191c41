"""Holding engines to an instruction set below this machine's best.

Each has a variable of its own, read when it is first loaded. ONNX Runtime's own kernels, scipy and
GraphBLAS have none: they run as they are.
"""

import os

from nfcompile.errors import InputError

__all__ = ["ISAS", "held_to", "hold_to"]

_VARIABLES = {
    "NFCOMPILE_MAX_ISA": ("avx2", "avx512"),
    "ONEDNN_MAX_CPU_ISA": ("AVX2", "AVX512_CORE"),  # OpenVINO and torch
    "ATEN_CPU_CAPABILITY": ("avx2", "avx512"),
    "MKL_ENABLE_INSTRUCTIONS": ("AVX2", "AVX512"),
    "NM_ARCH": ("avx2", "avx512"),  # DeepSparse
}

ISAS = ("avx2", "avx512")
"""What engines can be held to."""


def held_to() -> str:
    """What engines are held to, or nothing."""
    own = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    values = _VARIABLES["ONEDNN_MAX_CPU_ISA"]
    return ISAS[values.index(own)] if own in values else ""


def hold_to(isa: str) -> None:
    """Sets the variables, for engines that are not loaded yet and for processes that are started.

    Raises:
        InputError: If engines cannot be held to `isa`.
    """
    if isa not in ISAS:
        raise InputError(f"isa must be one of {', '.join(ISAS)}, got {isa!r}")
    for name, values in _VARIABLES.items():
        os.environ[name] = values[ISAS.index(isa)]

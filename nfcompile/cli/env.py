"""`nfcompile env`: what is installed here, and what this machine can do."""

import os
import platform
from importlib import metadata
from typing import Any

from nfcompile.cli.options import Json
from nfcompile.cli.output import check_json, guarded, show_table, table, write_json
from nfcompile.errors import EngineMissingError

__all__ = ["env_command"]

_PACKAGES = (
    "nfcompile",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "torch",
    "openvino",
    "numpy",
    "scipy",
)


@guarded
def env_command(json: Json = None) -> None:
    """Show versions, instruction sets, caches, engines."""
    check_json(json)
    facts = _facts()
    if json is not None:
        write_json(facts, json)
    made = table("Environment", "", "")
    for name, value in facts.items():
        made.add_row(name, _text(value))
    show_table(made, stderr=json == "-")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items()) or "unknown"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _facts() -> dict[str, Any]:
    from nfcompile.runtime.op_library import op_library_path
    from nfcompile.target import caches, cpu_flags, cpu_name, isa

    try:
        library = op_library_path()
    except EngineMissingError as error:
        library = str(error)
    flags = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
    present = {name: _version(name) for name in _PACKAGES}
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: found for name, found in present.items() if found},
        "engines": [n for n in ("onnxruntime", "openvino", "torch") if present[n]],
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "caches": caches(),
        "instruction sets": [flag for flag in flags if flag in cpu_flags()],
        "kernels used": isa(),
        "op library": library,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""

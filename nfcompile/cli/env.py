"""`nfcompile env`: what is installed here, and what this machine can do."""

import os
import platform
from typing import Any

from nfcompile.cli.options import Json
from nfcompile.cli.output import check_json, guarded, show_table, table, write_json
from nfcompile.errors import EngineMissingError

__all__ = ["env_command"]


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
    from nfcompile.bench.environment import instruction_sets, packages, peers
    from nfcompile.runtime.cuda import cuda_problem, gpu_name
    from nfcompile.runtime.op_library import op_library_path
    from nfcompile.target import caches, cpu_name, isa

    try:
        library = op_library_path()
    except EngineMissingError as error:
        library = str(error)
    present = packages()
    worker = peers()
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": present,
        "engines": [n for n in ("onnxruntime", "openvino", "torch", "scipy") if n in present],
        **({"peers": worker} if worker else {}),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "caches": caches(),
        "instruction sets": instruction_sets(),
        "kernels used": isa(),
        "op library": library,
        "gpu": gpu_name() or "none",
        "target ort-cuda": cuda_problem() or "runs here",
    }

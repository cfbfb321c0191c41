"""The cost model and `make gpu-check` know which kernels the library picks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


def test_costs_and_checks_follow_the_library(tmp_path: Path) -> None:
    # A process of its own: what a library finds instead of a driver, it keeps.
    from support_cuda import VARIABLE, build

    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         "--no-cov", folder / "packing_checks.py"],
        env={**os.environ, VARIABLE: str(build(tmp_path))}, cwd=folder.parents[1],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr

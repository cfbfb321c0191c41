"""The kernels and libnfcompile_ops_cuda without a GPU: everything but their machine code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


@pytest.mark.parametrize("checks", ["library_checks.py", "kernel_checks.py"])
def test_on_a_stand_in_for_the_driver(checks: str, tmp_path: Path) -> None:
    # A process of its own: what a library finds instead of a driver, it keeps.
    from support_cuda import VARIABLE, build

    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         "--no-cov", folder / checks],
        env={**os.environ, VARIABLE: str(build(tmp_path)), "TRITON_INTERPRET": "1"},
        cwd=folder.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr

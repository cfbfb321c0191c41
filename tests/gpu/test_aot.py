"""Kernels compiled ahead of time: what is written, and what is said where it cannot be."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

# Few variants, and a process of its own: Triton reads its environment when it is imported.
SCRIPT = """
import sys
from pathlib import Path
from nfcompile.gpu.aot import build
from nfcompile.gpu.variants import VARIANTS
if __name__ == "__main__":
    chosen = [next(v for v in VARIANTS if v.symbol.startswith(name)) for name in sys.argv[2:]]
    build(Path(sys.argv[1]), chosen)
"""
NAMES = ("bsr_bf16", "block_diagonal_f16", "block_diagonal_small_f32_f32", "csr_f32_f32_u16",
         "bsr_bf16_bf16_r64_rs64_bm512")  # fmt: skip
EVERYWHERE = ((80, 0), (80, 1), (90, 0))
IMAGES = [(name, image) for name in NAMES[:-1] for image in EVERYWHERE] + [(NAMES[-1], (90, 0))]
"""The last needs more shared memory than devices of 8.x have."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("aot")
    script = made / "script.py"
    script.write_text(SCRIPT)
    subprocess.run([sys.executable, script, made / "images", *NAMES], check=True)
    return made / "images"


def test_each_variant_has_an_image_for_each_device_that_runs_it(folder: Path) -> None:
    binary = (folder / "images.bin").read_bytes()
    lines = (folder / "images.inc").read_text().splitlines()
    end = 0
    for line, (name, image) in zip(lines, IMAGES, strict=True):
        fields = re.findall(r'"[^"]*"|[0-9]+', line)
        assert line.startswith("{") and line.endswith("}},") and len(fields) == 12 + 7
        assert fields[0].strip('"').startswith(name)
        architecture, is_ptx, offset, size = map(int, fields[5:9])
        assert (architecture, is_ptx) == image
        assert offset % 16 == 0 and end <= offset < end + 16
        end = offset + size
        data = binary[offset:end]
        if is_ptx:
            assert b".version 8.0" in data and b".target sm_80" in data and data[-1] == 0
        else:
            assert data[:4] == b"\x7fELF"
        assert fields[11].strip('"').encode() in data
    assert end == len(binary)


def aot(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nfcompile.gpu.aot", *arguments],
        env={**os.environ, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_how_it_is_called_is_told() -> None:
    done = aot()
    assert (done.returncode, done.stderr) == (2, "usage: python -m nfcompile.gpu.aot FOLDER\n")


def test_without_triton_one_line_says_so(tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, sys; found = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'triton' else found(name, *a)\n"
        "from nfcompile.gpu.aot import main; sys.exit(main(['folder']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert done.stderr == "compiling kernels needs Triton: pip install triton\n"
    assert not list(tmp_path.iterdir())

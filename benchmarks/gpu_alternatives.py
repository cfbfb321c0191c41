"""Alternatives to the entries of `nfcompile/gpu/variants.py`, and their compilation."""

import os
import pickle
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from gpu_layers import BF16

from nfcompile.gpu.image import Image, compile_images
from nfcompile.gpu.variants import Entry, Variant, block_diagonal_variant, bsr_variant

__all__ = ["SLOTS", "Slot", "alternative", "build", "built"]

_ARCHITECTURE = 90

Slot = tuple[str, int]

SLOTS: Mapping[Slot, Sequence[Entry]] = {
    ("bsr", 16): [(128, 16, 4, 4, 80), (256, 16, 4, 4, 80), (256, 16, 8, 4, 80)],
    ("bsr", 32): [(128, 32, 4, 4, 80), (256, 32, 4, 4, 80), (256, 32, 8, 4, 80)],
    ("bsr", 64): [
        (128, 64, 4, 3, 80), (128, 64, 4, 4, 80), (128, 64, 8, 3, 80), (256, 64, 8, 3, 90),
        (256, 64, 8, 4, 90), (512, 64, 8, 3, 90),
    ],
    ("bsr", 128): [
        (128, 128, 4, 3, 80), (128, 128, 8, 4, 90), (256, 128, 8, 3, 90), (256, 128, 8, 4, 90),
    ],
    ("block_diagonal", 16): [
        (16, 32, 16, 4, 1, 80), (32, 16, 16, 4, 1, 80), (32, 16, 16, 8, 1, 80),
        (32, 32, 16, 8, 1, 90), (64, 16, 16, 8, 1, 90), (64, 16, 16, 16, 1, 90),
    ],
    ("block_diagonal", 32): [
        (16, 16, 32, 4, 1, 80), (32, 16, 32, 4, 1, 80), (32, 16, 32, 8, 1, 80),
        (32, 16, 32, 16, 1, 80), (32, 16, 16, 8, 1, 80), (64, 16, 32, 8, 1, 90),
    ],
    ("block_diagonal", 64): [
        (16, 8, 64, 4, 1, 80), (16, 16, 64, 8, 1, 90), (32, 8, 64, 4, 1, 90),
        (32, 8, 64, 8, 1, 90), (32, 16, 32, 16, 1, 90), (64, 8, 64, 8, 1, 90),
    ],
    ("block_diagonal", 128): [
        (16, 8, 64, 8, 1, 90), (32, 4, 64, 4, 1, 90), (32, 4, 128, 8, 1, 90),
        (32, 8, 32, 8, 1, 90), (32, 8, 64, 8, 1, 90), (64, 8, 32, 16, 1, 90),
    ],
    ("block_diagonal_wide", 16): [
        (128, 8, 128, 8, 4, 90), (128, 16, 128, 8, 4, 90), (256, 8, 128, 8, 3, 90),
    ],
    ("block_diagonal_wide", 32): [
        (128, 8, 128, 8, 4, 90), (128, 16, 128, 8, 4, 90), (128, 8, 256, 8, 3, 90),
    ],
    ("block_diagonal_wide", 64): [
        (128, 8, 128, 8, 4, 90), (128, 8, 256, 8, 3, 90), (256, 8, 128, 8, 3, 90),
    ],
    ("block_diagonal_wide", 128): [(128, 8, 128, 8, 4, 90), (256, 8, 128, 8, 3, 90)],
}  # fmt: skip
"""By kernel and size of blocks: entries of the tables of `variants`, for bf16.

`block_diagonal_wide` has no table, as it has not been measured yet: rows of the batch, blocks that
make a dense one, rows of that per program, warps, stages, and the compute capability.
"""


def _wide_variant(types: tuple[str, str], size: int, entry: Entry) -> Variant:
    batch, group, rows, warps, stages, least = entry
    constants = {"SIZE": size, "G": group, "BM": batch, "RS": rows, "X_STRIDED": 1, "Y_STRIDED": 1}
    return Variant("block_diagonal_wide", *types, constants, warps, stages, least=least)


_MAKERS = {
    "bsr": bsr_variant, "block_diagonal": block_diagonal_variant,
    "block_diagonal_wide": _wide_variant,
}  # fmt: skip


def alternative(slot: Slot, entry: Entry) -> Variant:
    """The variant in bf16 that an entry stands for, strided on both sides."""
    kernel, size = slot
    return _MAKERS[kernel](BF16, size, entry)


def build(folder: Path, slots: Mapping[Slot, Sequence[Entry]] = SLOTS) -> None:
    """Compiles all alternatives into a folder, which is made."""
    jobs = [(slot, entry) for slot in slots for entry in slots[slot]]
    with tempfile.TemporaryDirectory(prefix="nfcompile-triton-") as cache:
        os.environ.pop("TRITON_INTERPRET", None)
        os.environ["TRITON_CACHE_DIR"] = cache
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            images = list(pool.map(_compiled, jobs))
    folder.mkdir(parents=True)
    made = dict(zip(jobs, images, strict=True))
    (folder / "images.pickle").write_bytes(pickle.dumps(made))


def _compiled(job: tuple[Slot, Entry]) -> Image | str:
    try:
        return compile_images(alternative(*job), _ARCHITECTURE)[0]
    except ValueError as error:
        return str(error)


def built(folder: Path) -> dict[tuple[Slot, Entry], Image | str]:
    """What `build` made: images, or why there is none."""
    found: dict[tuple[Slot, Entry], Image | str] = pickle.loads(
        (folder / "images.pickle").read_bytes()
    )
    return found

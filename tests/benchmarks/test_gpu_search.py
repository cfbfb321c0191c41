"""The search for variants: entries are variants, and what is slow, wrong or refused comes last."""

import ctypes
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gpu_alternatives import SLOTS, alternative, build, built
from gpu_launch import Launcher, arguments
from gpu_layers import block_diagonal
from gpu_search import search, wide

from nfcompile.gpu.image import Image
from nfcompile.gpu.variants import BLOCK_DIAGONAL, BSR, VARIANTS, Variant

IMAGE = Image(90, False, b"\x7fELF", 4, 64 << 10, "bsr")


@pytest.mark.parametrize("slot", SLOTS, ids=str)
def test_every_entry_is_a_variant(slot: tuple[str, int]) -> None:
    kernel, size = slot
    for entry in SLOTS[slot]:
        made = alternative(slot, entry)
        told = made.kernel, made.size, made.rows, made.least
        assert told == (kernel, size, entry[0], entry[-1])
        dense = size * made.constants["G"] if kernel == "block_diagonal_wide" else size
        assert dense % made.constants.get("STEP", made.constants.get("RS")) == 0


@pytest.mark.parametrize("slot", [s for s in SLOTS if s[0] != "block_diagonal_wide"], ids=str)
def test_the_largest_tile_of_the_library_is_an_alternative(slot: tuple[str, int]) -> None:
    kernel, size = slot
    largest = (BSR if kernel == "bsr" else BLOCK_DIAGONAL)[16][size][-1]
    assert largest in SLOTS[slot] and alternative(slot, largest) in VARIANTS


def test_neighbouring_blocks_as_a_dense_one_are_the_same_weight() -> None:
    layer = block_diagonal(64, 4, 16)
    dense = np.zeros((64, 64), np.float32)
    dense[layer.places()] = layer.values
    made = wide(torch, torch.from_numpy(layer.values), 8).reshape(2, 32, 32).numpy()
    for group in range(2):
        # Element e of block b lies at 16 e + b.
        at = np.add.outer(16 * np.arange(4), 8 * group + np.arange(8)).ravel()
        np.testing.assert_array_equal(made[group], dense[np.ix_(at, at)])


def test_the_fastest_comes_first_and_failures_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    slot = "bsr", 16
    images = {(slot, entry): IMAGE for entry in SLOTS[slot]}
    images[slot, (16, 16, 1, 4, 80)] = "takes too much shared memory"

    def run(image: Image, variant: Variant, layer: object, batch: int) -> float:
        if variant.rows == 128:
            raise ValueError("wrong")
        return 10.0 / variant.warps

    found = list(search(images, run))
    assert [batch for _, batch, _ in found] == [256, 4096]
    assert found[0][2] == [(1.25, (256, 16, 8, 4, 80)), (2.5, (256, 16, 4, 4, 80))]
    assert "('bsr', 16) (128, 16, 4, 4, 80): wrong" in capsys.readouterr().err


def test_a_launch_passes_what_the_kernel_takes() -> None:
    seen: dict[str, object] = {}

    def launch(function: object, *rest: object) -> int:
        *numbers, _, pointers, _ = rest
        seen["numbers"] = numbers
        kinds = "ppppppp" + "iiii" + "ff" + "ii" + "pp"
        of = {"p": ctypes.c_uint64, "i": ctypes.c_int32, "f": ctypes.c_float}
        seen["values"] = [
            ctypes.cast(pointer, ctypes.POINTER(of[kind])).contents.value
            for pointer, kind in zip(pointers, kinds, strict=True)
        ]
        return 0

    driver = SimpleNamespace(
        cuModuleLoadData=lambda *_: 0, cuModuleGetFunction=lambda *_: 0,
        cuFuncSetAttribute=lambda _, which, value: seen.update({str(which): value}) or 0,
        cuLaunchKernel=launch,
    )  # fmt: skip
    x, y, values, starts, columns = (torch.zeros(4) for _ in range(5))
    given = arguments(x, [values, starts, columns], y, (), (3, 32, 48))
    Launcher(IMAGE, driver).launch((5, 6), given)
    assert seen["8"] == IMAGE.shared_bytes and seen["numbers"][:6] == [5, 6, 1, 128, 1, 1]
    pointers = [item.data_ptr() for item in (x, values, starts, columns)]
    assert seen["values"] == [*pointers, 0, 0, y.data_ptr(), 3, 32, 48, 0, 0, 0, 0, 0, 0, 0]


def test_a_driver_that_refuses_is_told() -> None:
    driver = SimpleNamespace(cuModuleLoadData=lambda *_: 209)
    with pytest.raises(RuntimeError, match="the driver gives 209 for bsr"):
        Launcher(IMAGE, driver)


def test_alternatives_are_compiled_once_without_a_gpu(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    slot = "block_diagonal", 16
    build(tmp_path / "made", {slot: SLOTS[slot][:1]})
    (image,) = built(tmp_path / "made").values()
    assert isinstance(image, Image)
    assert image.data[:4] == b"\x7fELF" and image.architecture == 90

"""`nfcompile explain` names kernels that exist."""

import numpy as np
import pytest

from nfcompile import _native
from nfcompile.cli.explain import kernel_name

PAIRS = "tile_bf16_avx512_bf16"


@pytest.mark.parametrize(
    ("encoding", "isa", "precision", "name"),
    [
        ("csr", "amx_bf16", "fp32", "csr_f32_avx512, generated_f32_avx512"),
        ("csr", "amx_bf16", "bf16", f"csr_bf16_avx512_bf16, {PAIRS}"),
        ("bsr", "amx_bf16", "bf16", f"bsr_bf16_avx512_bf16, {PAIRS} or amx_bf16"),
        ("block-diagonal", "avx512_bf16", "bf16", f"block_diagonal_bf16_avx512_bf16, {PAIRS}"),
        ("bsr", "avx2", "bf16", "bsr_f32_avx2, tile_bf16_avx2"),
        ("bsr", "amx_bf16", "fp32", "bsr_f32_avx512, tile_f32_avx512"),
        ("dense", "amx_bf16", "bf16", "runtime's own"),
    ],
)
def test_names_follow_what_runs(encoding: str, isa: str, precision: str, name: str) -> None:
    assert kernel_name(encoding, "ort-cpu", isa, precision) == name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "isa", [isa for isa in _native.test_isas() if "emulated" not in isa and isa != "scalar"]
)
def test_names_are_those_of_the_kernels(isa: str, precision: str) -> None:
    values = np.ones((2, 16, 16), np.float32)
    kind = {"fp32": "float32", "bf16": "bfloat16"}[precision]
    lists = np.arange(2, dtype=np.int32), np.arange(3, dtype=np.int32)
    bsr = _native.pack_bsr(values, *lists, 32, isa=isa, precision=kind)
    diagonal = _native.pack_block_diagonal(
        values, None, None, 32, 32, row_stride=1, col_stride=1, isa=isa, precision=kind
    )
    for encoding, product in (("bsr", bsr), ("block-diagonal", diagonal)):
        named = kernel_name(encoding, "ort-cpu", isa, precision)
        assert named.split(",")[0] == product.description.split(",")[0]

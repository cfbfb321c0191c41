"""`nfcompile explain` names kernels that exist."""

import pytest

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

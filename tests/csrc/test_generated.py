"""Code that is generated for unstructured rows, against dense products and plain tables."""

import re
import shutil
import subprocess
from itertools import product as product_of
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nfcompile import _native

Floats = NDArray[np.float32]

needs_avx512 = pytest.mark.skipif(
    "avx512" not in _native.isas(), reason="generated code needs AVX-512"
)

SHAPES = ((28, 512), (29, 513), (57, 1030), (200, 64))
BATCHES = (2, 15, 16, 17, 33, 64, 65, 130)


def weight_of(out: int, in_: int, density: float = 0.2) -> Floats:
    rng = np.random.default_rng(out * in_)
    mask = rng.random((out, in_)) < density
    return np.where(mask, rng.standard_normal((out, in_)), 0).astype(np.float32)


def csr(weight: Floats) -> tuple[Floats, NDArray[np.int32], NDArray[np.int32], int]:
    row, column = np.nonzero(weight)
    starts = np.searchsorted(row, np.arange(len(weight) + 1)).astype(np.int32)
    return weight[row, column], column.astype(np.int32), starts, weight.shape[1]


def packed(weight: Floats, generate: bool = True) -> _native.Product:
    return _native.pack_csr(*csr(weight), isa="avx512", generate=generate)


@needs_avx512
@pytest.mark.parametrize("shape", SHAPES)
def test_generated_code_agrees_with_a_dense_product(shape: tuple[int, int]) -> None:
    weight = weight_of(*shape)
    product = packed(weight)
    assert product.generated
    for batch in BATCHES:
        x = np.random.default_rng(batch).standard_normal((batch, shape[1])).astype(np.float32)
        expected = x.astype(float) @ weight.T.astype(float)
        np.testing.assert_allclose(product(x, form="tiles"), expected, rtol=1e-4, atol=1e-4)


@needs_avx512
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [7, 8, 16, 17, 64, 65, 256, 257, 600, 800, 896, 1100])
def test_large_layers_have_code_beside_the_table(batch: int, threads: int) -> None:
    weight = weight_of(1100, 1100, 0.1)  # 121,000 entries, three panels
    assert np.count_nonzero(weight) > 1 << 16
    x = np.random.default_rng(batch).standard_normal((batch, 1100)).astype(np.float32)
    y = packed(weight)(x, form="tiles", threads=threads, activation="gelu")
    table = packed(weight, generate=False)(x, form="tiles", activation="gelu")
    np.testing.assert_allclose(y, table, rtol=1e-4, atol=1e-3)
    assert (y == packed(weight)(x, form="tiles", activation="gelu")).all()


@needs_avx512
@pytest.mark.parametrize("activation", ["none", "relu", "gelu", "clip"])
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_every_end_of_the_code_agrees_with_the_table(activation: str, mode: int) -> None:
    weight = weight_of(61, 700)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((70, 700)).astype(np.float32)
    bias = rng.standard_normal(61).astype(np.float32)
    residual = rng.standard_normal((70, 61)).astype(np.float32)
    ends = {"activation": activation, "activation_alpha": -0.5, "activation_beta": 0.5}
    for given in product_of((None, bias), (None, residual)):
        options = {**ends, "bias": given[0], "residual": given[1], "form": "tiles"}
        options["residual_mode"] = mode
        generated, table = (packed(weight, generate)(x, **options) for generate in (True, False))
        np.testing.assert_allclose(generated, table, rtol=1e-4, atol=1e-4)


@needs_avx512
def test_an_input_that_is_nan_reaches_only_the_rows_that_read_it() -> None:
    weight = weight_of(40, 600)
    x = np.ones((20, 600), np.float32)
    x[:, 77] = np.nan
    for activation in ("none", "relu"):
        y = packed(weight)(x, form="tiles", activation=activation)
        np.testing.assert_array_equal(np.isnan(y), np.broadcast_to(weight[:, 77] != 0, y.shape))


@needs_avx512
def test_no_code_is_generated_where_the_environment_forbids_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight = weight_of(40, 600)
    assert packed(weight).generated
    assert not packed(weight, generate=False).generated
    monkeypatch.setenv("NFCOMPILE_GENERATE", "0")
    assert not packed(weight).generated


@needs_avx512
def test_code_is_generated_where_rows_of_a_block_share_what_they_read() -> None:
    assert packed(weight_of(280, 500, 0.1)).generated
    assert not packed(weight_of(280, 500, 0.05)).generated
    assert not packed(weight_of(1, 500, 0.9)).generated
    assert not packed(weight_of(1, 500, 0)).generated


@needs_avx512
def test_rows_that_share_their_columns_need_no_code() -> None:
    assert not packed(np.repeat(weight_of(10, 200), 4, axis=0)).generated


@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump of binutils")
@pytest.mark.parametrize("window", [None, ((3, 3), (2, 2), (1, 1))])
def test_the_code_disassembles_to_what_was_meant(
    tmp_path: Path, window: tuple[tuple[int, int], ...] | None
) -> None:
    weight = weight_of(31, 900, 0.1)
    (tmp_path / "code").write_bytes(_native.generate_csr(*csr(weight), window=window))
    text = subprocess.run(
        ["objdump", "-D", "-b", "binary", "-mi386:x86-64", "-Mintel", "--no-show-raw-insn", "code"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    lines = [re.sub(r"^\s*[0-9a-f]+:\s*", "", line).strip() for line in text.splitlines()[7:]]
    found = {line.split()[0] for line in lines if line}
    assert found == {
        "add", "int3", "jmp", "kmovw", "mov", "movabs", "ret", "vaddps", "vbroadcastss",
        "vfmadd231ps", "vmaxps", "vmovups", "vpord", "vpslld", "vptestmd", "vpxord",
    }  # fmt: skip
    adds = [line for line in lines if line.startswith("vfmadd231ps")]
    assert len(adds) == np.count_nonzero(weight)
    assert all(re.search(r"zmm\d+,zmm(28|29|30|31),DWORD BCST \[rsi", line) for line in adds)
    sums = [line for line in lines if line.startswith("vaddps")]
    assert all(re.search(r"(zmm\d+),\1,ZMMWORD PTR \[rax", line) for line in sums)
    taps = {line for line in lines if line.startswith("add    rdi,QWORD PTR [rax+")}
    assert len(taps) == (0 if window is None else 9)


@needs_avx512
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("batch", [33, 300, 1100])
def test_results_taken_out_in_stripes_agree_with_a_dense_product(batch: int, threads: int) -> None:
    weight = weight_of(1700, 90)  # 504 features of 256 batch rows are a stripe
    rng = np.random.default_rng(batch)
    x = rng.standard_normal((batch, 90)).astype(np.float32)
    bias = rng.standard_normal(1700).astype(np.float32)
    residual = rng.standard_normal((batch, 1700)).astype(np.float32)
    memory = np.full(batch * 1700 + 40, np.nan, np.float32)
    y = memory[17:-23].reshape(batch, 1700)
    options = {"bias": bias, "residual": residual, "activation": "relu", "residual_mode": 1}
    packed(weight).run(x, y, threads=threads, form="tiles", **options)
    expected = np.maximum(x.astype(float) @ weight.T.astype(float) + bias, 0) + residual
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    assert np.isnan(memory[:17]).all() and np.isnan(memory[-23:]).all()


@needs_avx512
def test_tiles_of_zeros_give_zeros_where_results_are_taken_out_in_stripes() -> None:
    x = np.zeros((1100, 90), np.float32)
    x[300] = 1  # in the second of five tiles
    for threads in (1, 3):
        y = np.full((1100, 1700), np.nan, np.float32)
        packed(weight_of(1700, 90)).run(x, y, threads=threads, form="tiles")
        np.testing.assert_array_equal(np.flatnonzero(y.any(axis=1)), [300])
        assert not np.isnan(y).any()

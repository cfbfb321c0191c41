"""libnfcompile_ops_cuda on a stand-in for the driver, run by test_library.py in a new process."""

import os
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from support import blocky, butterfly_factor, unstructured
from support_cuda import VARIABLE, StandIn
from support_operators import operator_model

from nfcompile import _native
from nfcompile.ir.schemas import ACTIVATIONS
from nfcompile.runtime.op_library import op_library_path
from nfcompile.sparse import BsrTensor, CsrTensor, Encoding, find_block_diagonal

cuda = _native.cuda
RNG = np.random.default_rng(0)
TYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
ROUNDING = {"f32": 2.0**-20, "f16": 2.0**-10, "bf16": 2.0**-7}


@pytest.fixture(scope="module")
def driver() -> StandIn:
    return StandIn(Path(os.environ[VARIABLE]))


@pytest.fixture(autouse=True)
def _no_failures(driver: StandIn) -> Iterator[None]:
    driver.launched.clear()
    yield
    if driver.failures:
        raise driver.failures.pop()


def diagonal(weight: np.ndarray) -> Encoding:
    found = find_block_diagonal(CsrTensor.from_dense(weight))
    assert not isinstance(found, str)
    return found


SHUFFLED = butterfly_factor(RNG, 64, 8, 1)[RNG.permutation(64)][:, RNG.permutation(64)]
HALF_EMPTY = np.triu(blocky(RNG, (64, 96), 16, 0.5))  # zeros inside blocks
ENCODINGS = {
    "bsr 16x16 with zeros": BsrTensor.from_dense(HALF_EMPTY, (16, 16)),
    "csr": CsrTensor.from_dense(unstructured(RNG, (37, 50), 0.2)),
    "bsr 16x16": BsrTensor.from_dense(blocky(RNG, (64, 96), 16, 0.3), (16, 16)),
    "bsr 32x64": BsrTensor.from_dense(blocky(RNG, (64, 128), 64, 0.6), (32, 64)),
    "bsr 4x4": BsrTensor.from_dense(blocky(RNG, (32, 48), 4, 0.3), (4, 4)),
    "contiguous 16": diagonal(butterfly_factor(RNG, 64, 16, 1)),
    "stride 16 of 16": diagonal(butterfly_factor(RNG, 256, 16, 16)),
    "stride 4 of 4": diagonal(butterfly_factor(RNG, 64, 4, 4)),
    "stride 32 of 2": diagonal(butterfly_factor(RNG, 128, 2, 32)),
    "shuffled": diagonal(SHUFFLED),
}
KERNELS = {
    "bsr 16x16 with zeros": "bsr",
    "csr": "csr", "bsr 16x16": "bsr", "bsr 32x64": "bsr", "bsr 4x4": "csr", "contiguous 16": "bsr",
    "stride 16 of 16": "block_diagonal", "stride 4 of 4": "block_diagonal_small",
    "stride 32 of 2": "block_diagonal_small", "shuffled": "csr",
}  # fmt: skip


def product(encoding: Encoding, precision: str, x_type: str) -> "cuda.Product":
    arrays = dict(encoding.components())
    out_features, in_features = encoding.shape
    if encoding.kind == "block-diagonal":
        return cuda.BlockDiagonalProduct(
            arrays["values"], arrays.get("rows"), arrays.get("cols"), encoding.row_stride,
            encoding.col_stride, in_features, out_features, precision, x_type,
        )  # fmt: skip
    make = cuda.CsrProduct if encoding.kind == "csr" else cuda.BsrProduct
    return make(*arrays.values(), in_features, precision, x_type)


def rounded(array: np.ndarray, name: str) -> np.ndarray:
    return array.astype(TYPES[name]).astype(np.float64)


def close(got: np.ndarray, expected: np.ndarray, weight: np.ndarray, x: np.ndarray, name: str):
    size = np.abs(x) @ np.abs(weight.T) + np.abs(expected) + 1
    assert (np.abs(got - expected) <= 2 * ROUNDING[name] * size).all()


@pytest.mark.parametrize("x_type", TYPES)
@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("batch", [1, 21])
def test_a_product_is_that_of_the_dense_weight(
    driver: StandIn, name: str, batch: int, x_type: str
) -> None:
    encoding = ENCODINGS[name]
    made = product(encoding, x_type, x_type)
    x = RNG.standard_normal((batch, encoding.shape[1])).astype(np.float32)
    got = made.run(x)
    assert driver.launched[0].symbol == made.kernel(batch)
    kernel = KERNELS[name] + "_vector" * (batch == 1 and KERNELS[name] == "bsr")
    assert driver.launched[0].symbol.startswith(f"{kernel}_{x_type}")
    wide, weight = rounded(x, x_type), rounded(encoding.numpy(), x_type)
    close(got, wide @ weight.T, weight, wide, x_type)


@pytest.mark.parametrize("name", ENCODINGS)
def test_each_kernel_of_a_product_can_be_named(driver: StandIn, name: str) -> None:
    encoding = ENCODINGS[name]
    made = product(encoding, "f32", "f32")
    x = RNG.standard_normal((3, encoding.shape[1])).astype(np.float32)
    for kernel in made.kernels():
        driver.launched.clear()
        close(made.run(x, kernel=kernel), x @ encoding.numpy().T, encoding.numpy(), x, "f32")
        assert driver.launched[0].symbol == kernel
    with pytest.raises(ValueError, match="no kernel of this product is named bsr_none"):
        made.run(x, kernel="bsr_none")


@pytest.mark.parametrize(
    ("block_rows", "batch", "rows"),
    [
        (16, 1, 1), (16, 2, 16), (16, 64, 16), (16, 448, 64), (16, 1024, 128), (16, 4096, 512),
        (128, 16, 16), (128, 64, 64), (128, 256, 128), (128, 1024, 512), (12, 2048, 64),
    ],
)  # fmt: skip
def test_a_tile_neither_idles_multiprocessors_nor_computes_what_no_row_needs(
    driver: StandIn, block_rows: int, batch: int, rows: int
) -> None:
    made = diagonal_blocks(block_rows, 132, driver)
    assert made.kernel(batch).endswith(f"bm{rows}")


@pytest.mark.parametrize(("batch", "rows"), [(1, 8), (32, 8), (256, 32)])
def test_tiles_of_more_blocks_count_for_as_many(driver: StandIn, batch: int, rows: int) -> None:
    values = np.ones((512, 32, 32), np.float32)
    driver["multiprocessors"] = 132
    try:
        made = cuda.BlockDiagonalProduct(values, None, None, 512, 512, 16384, 16384, "bf16", "bf16")
    finally:
        driver["multiprocessors"] = 1
    assert made.kernel(batch).endswith(f"bm{rows}_x1_y1")


@pytest.mark.parametrize(("batch", "rows"), [(2, 16), (64, 64), (448, 512), (1024, 512)])
def test_a_single_multiprocessor_gets_tiles_of_all_rows(
    driver: StandIn, batch: int, rows: int
) -> None:
    assert diagonal_blocks(16, 1, driver).kernel(batch).endswith(f"bm{rows}")


def diagonal_blocks(block_rows: int, multiprocessors: int, driver: StandIn) -> "cuda.Product":
    """A product with blocks of 64 on the diagonal, made on a device of so many."""
    values = np.ones((block_rows, 64, 64), np.float32)
    starts = np.arange(block_rows + 1, dtype=np.int32)
    driver["multiprocessors"] = multiprocessors
    try:
        return cuda.BsrProduct(values, starts[:-1], starts, 64 * block_rows, "bf16", "bf16")
    finally:
        driver["multiprocessors"] = 1


IDENTITY = BsrTensor.from_dense(np.eye(512, dtype=np.float32), (128, 128))


def through_fp16(numbers: np.ndarray) -> np.ndarray:
    """float32 numbers as an fp16 product with the identity gives them back."""
    x = np.resize(numbers, (-(-numbers.size // 512), 512)).astype(np.float32)
    return product(IDENTITY, "f16", "f16").run(x).ravel()[: numbers.size]


def test_every_number_of_fp16_comes_back() -> None:
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    numbers = numbers[np.isfinite(numbers)].astype(np.float32)
    np.testing.assert_array_equal(through_fp16(numbers), numbers)


def test_numbers_are_rounded_to_fp16_as_numpy_does() -> None:
    wide = np.concatenate([RNG.standard_normal(500) * 10.0**k for k in range(-8, 5)])
    wide = np.concatenate([wide, [0.0, -0.0, 65504, 65519, 2.0**-24, 2.0**-25, 1 + 2.0**-11]])
    wide = wide.astype(np.float32)
    np.testing.assert_array_equal(through_fp16(wide), wide.astype(np.float16).astype(np.float32))


def test_weights_narrower_than_activations(driver: StandIn) -> None:
    encoding = ENCODINGS["bsr 16x16"]
    x = RNG.standard_normal((5, 96)).astype(np.float32)
    got = product(encoding, "bf16", "f32").run(x)
    weight = rounded(encoding.numpy(), "bf16")
    close(got, x @ weight.T, weight, x, "bf16")


def test_no_kernel_for_these_types() -> None:
    with pytest.raises(ValueError, match="no kernel computes csr with activations in f16"):
        product(ENCODINGS["csr"], "bf16", "f16")


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_bias_residual_and_activation(mode: int) -> None:
    encoding = ENCODINGS["csr"]
    x = RNG.standard_normal((3, 50)).astype(np.float32)
    bias = RNG.standard_normal(37).astype(np.float32)
    residual = RNG.standard_normal((3, 37)).astype(np.float32)
    got = product(encoding, "f32", "f32").run(
        x, bias, residual, "clip", alpha=-0.5, beta=0.75, residual_mode=mode
    )
    t = x.astype(np.float64) @ encoding.numpy().T + bias + residual * (mode == 0)
    t = np.clip(t, -0.5, 0.75)
    t = [t, t + residual, t * residual][mode]
    np.testing.assert_allclose(got, t, atol=1e-5)


@pytest.mark.parametrize(
    ("device", "image", "is_ptx"),
    [(80, 80, 0), (86, 80, 0), (90, 90, 0), (100, 80, 1), (120, 80, 1)],
)  # fmt: skip
def test_the_image_fits_the_device(driver: StandIn, device: int, image: int, is_ptx: int) -> None:
    driver["architecture"] = device
    driver["context"] = device  # what is loaded is kept by context
    try:
        product(ENCODINGS["csr"], "f16", "f16").run(np.ones((1, 50), np.float32))
    finally:
        driver["architecture"], driver["context"] = 90, 0
    assert (driver.launched[0].architecture, driver.launched[0].is_ptx) == (image, is_ptx)


def test_a_kernel_for_newer_devices_is_left_out(driver: StandIn) -> None:
    largest = []
    for device in (80, 90, 100):
        driver["architecture"] = driver["context"] = device
        try:
            largest.append(product(IDENTITY, "bf16", "bf16").kernel(4096))
        finally:
            driver["architecture"], driver["context"] = 90, 0
    assert [name.rpartition("bm")[2] for name in largest] == ["128", "256", "128"]


def test_a_cubin_that_has_no_ptx_is_left_out_where_cubins_are_refused(driver: StandIn) -> None:
    driver["refuses_cubins"], driver["context"] = 1, 2
    try:
        assert product(IDENTITY, "bf16", "bf16").kernel(4096).endswith("bm128")
    finally:
        driver["refuses_cubins"], driver["context"] = 0, 0


@pytest.mark.parametrize(("in_features", "rows"), [(2**22 - 64, 512), (2**23, 128), (2**28, 1)])
def test_rows_are_as_many_as_32_bits_count(in_features: int, rows: int) -> None:
    one = np.ones((1, 64, 64), np.float32)
    made = cuda.BsrProduct(
        one, np.zeros(1, np.int32), np.array([0, 1], np.int32), in_features, "bf16", "bf16"
    )
    assert made.kernel(4096).endswith(f"bm{rows}")


def test_a_driver_that_takes_no_cubin_gets_ptx(driver: StandIn) -> None:
    driver["refuses_cubins"], driver["context"] = 1, 1
    try:
        product(ENCODINGS["csr"], "f32", "f32").run(np.ones((1, 50), np.float32))
    finally:
        driver["refuses_cubins"], driver["context"] = 0, 0
    assert driver.launched[0].is_ptx


def test_too_old_a_device_is_refused(driver: StandIn) -> None:
    driver["architecture"], driver["context"] = 75, 75
    try:
        with pytest.raises(RuntimeError, match=r"need compute capability 8\.0 .* has 7\.5"):
            product(ENCODINGS["csr"], "f32", "f32")
    finally:
        driver["architecture"], driver["context"] = 90, 0


def test_device_memory_is_released(driver: StandIn) -> None:
    before = driver["allocations"]
    made = product(ENCODINGS["bsr 16x16"], "f32", "f32")
    held = driver["allocations"]
    assert held == before + 3
    made.run(np.ones((2, 96), np.float32))
    assert driver["allocations"] == held
    del made
    assert driver["allocations"] == before


def test_a_batch_beyond_a_grid_is_launched_in_parts(driver: StandIn) -> None:
    made = product(CsrTensor.from_dense(np.ones((1, 1), np.float32)), "f32", "f32")
    driver["dry"] = 1
    try:
        made.run(np.ones((9 * 65535, 1), np.float32))
    finally:
        driver["dry"] = 0
    assert [item.grid for item in driver.launched] == [(1, 65535, 1), (1, 8192, 1)]


def test_a_launch_on_memory_of_the_device() -> None:
    encoding = ENCODINGS["bsr 16x16"]
    x = RNG.standard_normal((4, 96)).astype(np.float32)
    bias, y = RNG.standard_normal(64).astype(np.float32), np.empty((4, 64), np.float32)
    memory = np.empty(y.size + x.size + bias.size + 64, np.float32)
    at = -memory.ctypes.data % 256 // 4
    places = []
    for array in (x, bias, y):
        places.append(memory[at : at + array.size].reshape(array.shape))
        at += array.size
    places[0][:], places[1][:] = x, bias
    addresses = [place.ctypes.data for place in places]
    product(encoding, "f32", "f32").launch(
        addresses[0], addresses[2], 4, bias=addresses[1], activation="leaky_relu", alpha=0.5
    )
    t = x.astype(np.float64) @ encoding.numpy().T + bias
    np.testing.assert_allclose(places[2], np.where(t < 0, t / 2, t), atol=1e-4)


def test_pointers_that_are_not_aligned_are_refused() -> None:
    with pytest.raises(ValueError, match="x must lie at a multiple of 16 bytes"):
        product(ENCODINGS["csr"], "f32", "f32").launch(8, 16, 1)


def session(model: onnx.ModelProto):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.register_custom_ops_library(op_library_path("cuda"))
    return onnxruntime.InferenceSession(model.SerializeToString(), settings)


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("batch", [(5,), (2, 3), (0,)], ids=str)
def test_an_operator_in_onnxruntime(driver: StandIn, name: str, batch: tuple[int, ...]) -> None:
    encoding = ENCODINGS[name]
    model = operator_model(encoding, [f"d{i}" for i in range(len(batch))], activation="relu")
    out_features, in_features = encoding.shape
    inputs = {
        "X": RNG.standard_normal((*batch, in_features)).astype(np.float32),
        "bias": RNG.standard_normal(out_features).astype(np.float32),
        "residual": RNG.standard_normal((*batch, out_features)).astype(np.float32),
    }
    got = session(model).run(None, inputs)[0]
    assert bool(driver.launched) == bool(np.prod(batch))
    t = inputs["X"].astype(np.float64) @ encoding.numpy().T + inputs["bias"] + inputs["residual"]
    assert got.shape == t.shape
    np.testing.assert_allclose(got, np.maximum(t, 0), atol=1e-4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_in_onnxruntime(activation: str) -> None:
    from onnx.reference import ReferenceEvaluator

    from nfcompile.ir.reference import REFERENCE_OPS

    model = operator_model(
        ENCODINGS["csr"], ["b"], activation=activation, activation_alpha=0.25, activation_beta=1.5
    )
    inputs = {
        "X": RNG.standard_normal((4, 50)).astype(np.float32),
        "bias": RNG.standard_normal(37).astype(np.float32),
        "residual": RNG.standard_normal((4, 37)).astype(np.float32),
    }
    expected = ReferenceEvaluator(model, new_ops=list(REFERENCE_OPS)).run(None, inputs)[0]
    np.testing.assert_allclose(session(model).run(None, inputs)[0], expected, atol=1e-4)

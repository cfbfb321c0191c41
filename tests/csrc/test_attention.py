"""The attention kernels against float64 numpy, around every vector width."""

from dataclasses import dataclass, replace
from itertools import cycle, product

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from nfcompile import _native

ISAS = _native.test_isas()
GUARD = 19
LOWEST = np.finfo(np.float32).min
RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Shape:
    """Of one case; `size` is that of a head, `value_size` that of its values."""

    batch: int = 2
    heads: int = 3
    queries: int = 9
    keys: int = 21
    size: int = 12
    value_size: int = 20

    def arrays(self) -> tuple[NDArray[np.float32], ...]:
        """Random q, k, v off any vector's alignment, and room for y, with NaN around each."""
        columns = self.heads * self.size, self.heads * self.value_size
        q, k, v, y = (
            guarded(shape)
            for shape in (
                (self.batch, self.queries, columns[0]),
                (self.batch, self.keys, columns[0]),
                (self.batch, self.keys, columns[1]),
                (self.batch, self.queries, columns[1]),
            )
        )
        for array in (q, k, v):
            array[...] = RNG.standard_normal(array.shape)
        return q, k, v, y

    def scores(self) -> tuple[int, int, int, int]:
        return self.batch, self.heads, self.queries, self.keys


def guarded(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An array of NaN within memory of NaN, which is its base."""
    size = int(np.prod(shape))
    memory = np.full(size + 2 * GUARD, np.nan, np.float32)
    return memory[GUARD : GUARD + size].reshape(shape)


def assert_guards(array: NDArray[np.float32]) -> None:
    memory = array
    while isinstance(memory.base, np.ndarray):
        memory = memory.base
    assert np.isnan(memory[:GUARD]).all() and np.isnan(memory[GUARD + array.size :]).all()


def by_head(x: NDArray[np.float32], heads: int) -> NDArray[np.float64]:
    return np.moveaxis(x.astype(np.float64).reshape(*x.shape[:2], heads, -1), 2, 1)


def oracle(
    q: NDArray[np.float32],
    k: NDArray[np.float32],
    v: NDArray[np.float32],
    heads: int,
    bias: NDArray[np.float32] | None = None,
    scale: float | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The result, and the sums of the absolute values of its terms."""
    q64, k64, v64 = (by_head(x, heads) for x in (q, k, v))
    scores = q64 @ np.moveaxis(k64, 2, 3) * (q64.shape[-1] ** -0.5 if scale is None else scale)
    scores = scores if bias is None else scores + bias
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    columns = heads * v64.shape[-1]
    results = [np.moveaxis(weights @ x, 1, 2) for x in (v64, np.abs(v64))]
    return results[0].reshape(*q.shape[:2], columns), results[1].reshape(*q.shape[:2], columns)


def check(
    shape: Shape,
    isa: str,
    bias: NDArray[np.float32] | None = None,
    scale: float | None = None,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Runs one case into NaN, and compares."""
    q, k, v, y = shape.arrays()
    if bias is not None:
        copy = guarded(bias.shape)
        copy[...] = bias
        bias = copy
    _native.attention(
        q, k, v, y, heads=shape.heads, bias=bias, scale=scale, threads=threads, isa=isa
    )
    expected, magnitude = oracle(q, k, v, shape.heads, bias, scale)
    assert np.all(np.abs(y - expected) <= 5e-6 * magnitude + 1e-7)
    assert_guards(y)
    return y


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("queries", [1, 2, 3, 7, 8, 13, 15, 16, 17, 33, 70])
def test_odd_shapes_agree_with_numpy(isa: str, queries: int) -> None:
    sizes = cycle(product([1, 7, 8, 16, 17, 40, 64], [1, 8, 15, 16, 17, 33, 64, 80]))
    for keys in (1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 70):
        size, value_size = next(sizes)
        shape = Shape(1, 2, queries, keys, size, value_size)
        check(shape, isa)
        check(shape, isa, RNG.standard_normal(shape.scores()).astype(np.float32))


BF16 = ["scalar", *(isa for isa in ISAS if isa in ("avx512_bf16", "amx_bf16"))]


def check_rounded(
    shape: Shape, isa: str, bias: NDArray[np.float32] | None = None, threads: int = 1
) -> NDArray[np.float32]:
    """Runs one case in bf16 into NaN, and compares with operands rounded to it."""
    q, k, v, y = shape.arrays()
    more = {"heads": shape.heads, "bias": bias, "threads": threads, "precision": "bfloat16"}
    _native.attention(q, k, v, y, isa=isa, **more)
    assert_guards(y)
    rounded = [x.astype(ml_dtypes.bfloat16).astype(np.float32) for x in (q, k, v)]
    expected, magnitude = oracle(*rounded, shape.heads, bias)
    # What is left are the weights, each rounded by at most 2^-8.
    assert np.all(np.abs(y - expected) <= 4e-3 * magnitude)
    exact, _ = oracle(q, k, v, shape.heads, bias)
    assert shape.size < 8 or np.abs(y - exact).max() > 1e-4, "computed in fp32"
    return y


@pytest.mark.parametrize("isa", BF16)
@pytest.mark.parametrize("queries", [3, 8, 13, 16, 17, 33, 70])
def test_rounded_operands_agree_with_numpy(isa: str, queries: int) -> None:
    sizes = cycle(product([1, 7, 8, 16, 17, 40, 64], [1, 8, 15, 16, 17, 33, 64, 80]))
    for keys in (1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 70):
        size, value_size = next(sizes)
        shape = Shape(1, 2, queries, keys, size, value_size)
        check_rounded(shape, isa)
        check_rounded(shape, isa, RNG.standard_normal(shape.scores()).astype(np.float32))


@pytest.mark.parametrize("isa", BF16)
def test_threads_do_not_change_a_bit_of_rounded_operands(isa: str) -> None:
    q, k, v, alone = (shape := Shape(2, 3, 100, 90, 32, 16)).arrays()
    for threads in (1, 2, 5):
        y = np.full_like(alone, np.nan)
        _native.attention(
            q, k, v, y, heads=shape.heads, threads=threads, isa=isa, precision="bfloat16"
        )
        if threads == 1:
            alone[...] = y
        np.testing.assert_array_equal(y, alone)


@pytest.mark.parametrize("isa", BF16)
def test_rounded_keys_that_are_masked_are_as_if_absent(isa: str) -> None:
    q, k, v, y = Shape(queries=40, keys=41).arrays()
    kept = np.flatnonzero(RNG.random(41) < 0.5)
    bias = np.full((1, 1, 1, 41), -np.inf, np.float32)
    bias[..., kept] = 0
    _native.attention(q, k, v, y, heads=3, bias=bias, isa=isa, precision="bfloat16")
    expected, magnitude = oracle(q, k[:, kept], v[:, kept], 3)
    assert np.all(np.abs(y - expected) <= 4e-2 * magnitude)
    bias[:] = -np.inf
    _native.attention(q, k, v, y, heads=3, bias=bias, isa=isa, precision="bfloat16")
    assert np.isnan(y).all()


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa not in BF16])
def test_where_nothing_multiplies_bfloat16_the_bits_are_those_of_fp32(isa: str) -> None:
    q, k, v, y = Shape().arrays()
    _native.attention(q, k, v, y, heads=3, isa=isa)
    rounded = np.empty_like(y)
    _native.attention(q, k, v, rounded, heads=3, isa=isa, precision="bfloat16")
    np.testing.assert_array_equal(y, rounded)


@pytest.mark.parametrize("isa", ISAS)
def test_every_size_of_a_head_agrees(isa: str) -> None:
    for size in range(1, 36):
        check(Shape(1, 2, 10, 19, size, 36 - size), isa)
        check(Shape(1, 2, 2, 19, size, 36 - size), isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shared", list(product([False, True], repeat=4)), ids=str)
def test_a_bias_may_be_shared_along_any_axis(isa: str, shared: tuple[bool, ...]) -> None:
    for shape in (Shape(), Shape(queries=2)):
        dims = [1 if one else size for one, size in zip(shared, shape.scores(), strict=True)]
        check(shape, isa, (3 * RNG.standard_normal(dims)).astype(np.float32))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("queries", [2, 40])
def test_keys_masked_with_infinity_are_as_if_absent(isa: str, queries: int) -> None:
    shape = Shape(queries=queries, keys=40)
    q, k, v, y = shape.arrays()
    kept = np.flatnonzero(RNG.random(40) < 0.5)
    bias = np.full((1, 1, 1, 40), -np.inf, np.float32)
    bias[..., kept] = 0
    _native.attention(q, k, v, y, heads=3, bias=bias, isa=isa)
    expected, magnitude = oracle(q, k[:, kept], v[:, kept], 3)
    assert np.all(np.abs(y - expected) <= 5e-6 * magnitude)


@pytest.mark.parametrize("isa", ISAS)
def test_a_query_whose_bias_is_all_lowest_weighs_keys_alike(isa: str) -> None:
    shape = Shape(queries=33)
    q, k, v, y = shape.arrays()
    bias = np.zeros((2, 1, 33, 21), np.float32)
    bias[0, :, 4:30] = LOWEST
    bias[1, :, :, 5:] = LOWEST
    _native.attention(q, k, v, y, heads=3, bias=bias, isa=isa)
    expected, magnitude = oracle(q, k, v, 3, bias)
    expected[0, 4:30] = v[0].mean(axis=0)  # which in float64 would not be so
    assert np.all(np.abs(y - expected) <= 5e-6 * magnitude + 1e-6)


@pytest.mark.parametrize("isa", ISAS)
def test_a_query_whose_bias_is_all_minus_infinity_gives_nan_as_softmax_does(isa: str) -> None:
    q, k, v, y = Shape().arrays()
    bias = np.zeros((1, 1, 9, 21), np.float32)
    bias[:, :, 4] = -np.inf
    _native.attention(q, k, v, y, heads=3, bias=bias, isa=isa)
    assert np.isnan(y[:, 4]).all() and np.isfinite(np.delete(y, 4, axis=1)).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("queries", [2, 9])
def test_a_query_that_sees_no_key_gives_zero_where_nan_is(
    queries: int, isa: str, precision: str
) -> None:
    q, k, v, y = Shape(queries=queries).arrays()
    bias = np.zeros((1, 1, queries, 21), np.float32)
    bias[:, :, 1] = -np.inf
    q[1, 0, :12] = np.nan  # of the first head
    options = {"heads": 3, "bias": bias, "isa": isa, "precision": precision}
    _native.attention(q, k, v, y, nan_is_zero=True, **options)
    assert (y[:, 1] == 0).all() and (y[1, 0, :20] == 0).all()
    as_it_is = np.empty_like(y)
    _native.attention(q, k, v, as_it_is, **options)
    assert np.isnan(as_it_is[:, 1]).all() and np.isnan(as_it_is[1, 0, :20]).all()
    finite = np.isfinite(as_it_is)
    np.testing.assert_array_equal(y[finite], as_it_is[finite])
    assert finite[0, 0].all()


@pytest.mark.parametrize("isa", ISAS)
def test_weights_are_exponentials(isa: str) -> None:
    x = np.linspace(-120, 0, 3001, dtype=np.float32)
    q, k = np.ones((3001, 1, 1), np.float32), np.zeros((3001, 2, 1), np.float32)
    k[:, 1, 0] = x
    v, y = np.tile(np.float32([[0], [1]]), (3001, 1, 1)), np.empty_like(q)
    for many in (False, True):  # queries, so that keys are packed
        if many:
            q, y = np.ones((3001, 5, 1), np.float32), np.empty((3001, 5, 1), np.float32)
        _native.attention(q, k, v, y, heads=1, scale=1, isa=isa)
        expected = 1 / (1 + np.exp(-x.astype(np.float64)))
        error = np.abs(y[..., 0] - expected[:, None])
        assert error.max() < 2e-7
        assert (error / expected[:, None])[x > -86].max() < 1e-5


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("scale", [None, 0.0, -0.7, 50.0])
def test_scores_are_scaled(isa: str, scale: float | None) -> None:
    for queries in (2, 9):
        q, k, v, y = Shape(queries=queries, size=4).arrays()
        q, k = np.round(4 * q) / 4, np.round(4 * k) / 4  # so that their products are exact
        _native.attention(q, k, v, y, heads=3, scale=scale, isa=isa)
        expected, magnitude = oracle(q, k, v, 3, scale=scale)
        assert np.all(np.abs(y - expected) <= 2e-5 * magnitude)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "shape",
    [Shape(2, 3, 100, 90, 32, 16), Shape(1, 1, 200, 200, 16, 33), Shape(40, 7, 2, 90, 32, 16)],
    ids=str,
)
def test_threads_do_not_change_a_bit(isa: str, shape: Shape) -> None:
    q, k, v, alone = shape.arrays()
    _native.attention(q, k, v, alone, heads=shape.heads, isa=isa)
    assert np.isfinite(alone).all()
    for threads in (2, 3, 16):
        y = np.full_like(alone, np.nan)
        _native.attention(q, k, v, y, heads=shape.heads, threads=threads, isa=isa)
        np.testing.assert_array_equal(y, alone)


@pytest.mark.parametrize("isa", ISAS)
def test_a_query_gives_the_same_bits_wherever_it_stands(isa: str) -> None:
    q, k, v, y = Shape(queries=70).arrays()
    q[:] = q[:, :1]
    _native.attention(q, k, v, y, heads=3, isa=isa)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("queries", [1, 40])
def test_nan_and_infinity_stay_in_their_head(isa: str, queries: int) -> None:
    shape = Shape(queries=queries)
    q, k, v, y = shape.arrays()
    k[0, 20, 12:24] = np.nan  # the last key of head 1
    v[1, 3, 40:] = np.inf  # of head 2
    _native.attention(q, k, v, y, heads=3, isa=isa)
    finite = np.isfinite(y.reshape(2, queries, 3, 20)).all(axis=(1, 3))
    np.testing.assert_array_equal(finite, [[True, False, True], [True, True, False]])
    assert np.isnan(y[0, :, 20:40]).all() and np.isposinf(y[1, :, 40:]).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("change", [{"batch": 0}, {"queries": 0}, {"keys": 0}], ids=str)
def test_what_is_empty_gives_nothing_or_zeros(isa: str, change: dict[str, int]) -> None:
    shape = replace(Shape(), **change)
    q, k, v, y = shape.arrays()
    bias = np.zeros(shape.scores(), np.float32)
    for given in (None, bias):
        y[...] = np.nan
        _native.attention(q, k, v, y, heads=3, bias=given, threads=3, isa=isa)
        assert not y.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"heads": 5}, r"Q must have shape .* with 5 heads, got \[2, 9, 36\]"),
        ({"v": (2, 21, 61)}, r"V must have shape .* with 3 heads, got \[2, 21, 61\]"),
        ({"v": (1, 21, 60)}, r"V must have Q's batch .* 2 and 21, got shape \[1, 21, 60\]"),
        ({"k": (2, 20, 36)}, r"V must have .* K's tokens, 2 and 20, got shape \[2, 21, 60\]"),
        ({"k": (2, 21, 33)}, r"K must have .* with 12 as size, got \[2, 21, 33\]"),
        ({"k": (3, 21, 36)}, r"K must have Q's batch .* 2 and 12, got shape \[3, 21, 36\]"),
        ({"k": (2, 3, 21, 11)}, r"K must have Q's .* 2 and 12, got shape \[2, 3, 21, 11\]"),
        ({"k": (2, 2, 21, 12)}, r"K must have a number of heads that divides Q's, 3, got 2"),
        ({"v": (2, 1, 21, 20)}, r"V must have .* with 3 heads, got \[2, 1, 21, 20\]"),
        ({"q": (2, 4, 9, 12)}, r"Q must have .* with 3 heads, got \[2, 4, 9, 12\]"),
        ({"q": (2, 9, 0)}, r"Q must have shape .*, got \[2, 9, 0\]"),
        ({"bias": (2, 3, 9, 20)}, r"bias must have shape \[2, 3, 9, 21\].*, got \[2, 3, 9, 20\]"),
        ({"bias": (3, 1, 1, 1)}, r"bias must have shape .*, got \[3, 1, 1, 1\]"),
        ({"y": (2, 9, 36)}, r"y must have shape \(2, 9, 60\)"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"isa": "sse9"}, "isa must be one of .*, got sse9"),
    ],
)
def test_operands_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    q, k, v, y = Shape().arrays()
    given: dict[str, object] = {"q": q, "k": k, "v": v, "y": y, "heads": 3}
    for name, value in change.items():
        given[name] = np.zeros(value, np.float32) if isinstance(value, tuple) else value
    with pytest.raises(ValueError, match=message) as error:
        _native.attention(**given)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("key_heads", [1, 2, 6])
@pytest.mark.parametrize("queries", [1, 9])
def test_heads_lie_side_by_side_or_apart_and_share_keys(
    isa: str, precision: str, key_heads: int, queries: int
) -> None:
    whole = Shape(heads=6, queries=queries)
    q, k, v, _ = whole.arrays()
    k, v = (x.reshape(*x.shape[:2], 6, -1)[:, :, :key_heads] for x in (k, v))
    repeated = [np.repeat(x, 6 // key_heads, axis=2).reshape(*x.shape[:2], -1) for x in (k, v)]
    expected, magnitude = oracle(q, *repeated, 6)
    rows = [q, *(np.ascontiguousarray(x.reshape(*x.shape[:2], -1)) for x in (k, v))]
    apart = [
        np.ascontiguousarray(np.moveaxis(x.reshape(*x.shape[:2], heads, -1), 2, 1))
        for x, heads in zip(rows, (6, key_heads, key_heads), strict=True)
    ]
    limit = 5e-6 if precision == "float32" else 3e-2
    for chosen in product((0, 1), repeat=3):
        given = [(rows, apart)[by_head][i] for i, by_head in enumerate(chosen)]
        y = guarded(expected.shape)
        _native.attention(*given, y, heads=6, isa=isa, precision=precision, threads=2)
        assert np.all(np.abs(y - expected) <= limit * magnitude + 1e-7)
        assert_guards(y)

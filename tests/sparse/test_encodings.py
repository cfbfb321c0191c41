"""Every encoding against its dense oracle."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from support import blocky, butterfly_factor, unstructured

from nfcompile.errors import InputError
from nfcompile.sparse import BlockDiagonalTensor, BsrTensor, CsrTensor, DenseTensor, Encoding
from nfcompile.sparse.block_diagonal import stride_of, strided_indices
from nfcompile.sparse.bsr import count_blocks
from nfcompile.sparse.components import find_block_diagonal
from nfcompile.sparse.encoding import narrowest_index_dtype

SIZES = st.integers(0, 40)


@st.composite
def weights(draw: st.DrawFn) -> np.ndarray:
    shape = (draw(SIZES), draw(SIZES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weight = unstructured(rng, shape, draw(st.sampled_from([0.0, 0.05, 0.3, 1.0])))
    if draw(st.booleans()):
        weight[rng.random(shape) < 0.1] = -0.0
    return weight


@given(weights())
@settings(max_examples=200, deadline=None)
def test_csr_gives_back_the_weight_and_drops_negative_zeros(weight: np.ndarray) -> None:
    csr = CsrTensor.from_dense(weight)
    csr.check()
    np.testing.assert_array_equal(csr.numpy(), weight)
    assert csr.stored == np.count_nonzero(weight)
    np.testing.assert_array_equal(csr.transposed().numpy(), weight.T)


@given(weights(), st.sampled_from([(1, 1), (4, 4), (8, 1), (2, 8)]))
@settings(max_examples=100, deadline=None)
def test_bsr_gives_back_the_weight_in_as_many_blocks_as_counted(
    weight: np.ndarray, blocksize: tuple[int, int]
) -> None:
    height, width = blocksize
    weight = weight[: len(weight) // height * height, : weight.shape[1] // width * width]
    bsr = BsrTensor.from_dense(weight, blocksize)
    np.testing.assert_array_equal(bsr.numpy(), weight)
    assert len(bsr.values) == count_blocks(CsrTensor.from_dense(weight), blocksize)
    assert all(block.any() for block in bsr.values)


@given(weights())
@settings(max_examples=200, deadline=None)
def test_a_block_diagonal_form_gives_back_the_weight_or_a_reason(weight: np.ndarray) -> None:
    found = find_block_diagonal(CsrTensor.from_dense(weight), min_fill=0.0)
    if isinstance(found, str):
        assert found
    else:
        np.testing.assert_array_equal(found.numpy(), weight)


@pytest.mark.parametrize(("radix", "stride"), [(2, 1), (4, 4), (4, 16), (16, 1), (16, 4), (64, 1)])
def test_a_butterfly_factor_is_found_with_its_stride_and_no_indices(
    radix: int, stride: int
) -> None:
    weight = butterfly_factor(np.random.default_rng(0), 64, radix, stride)
    found = find_block_diagonal(CsrTensor.from_dense(weight))
    if radix == 64:
        assert found == "one connected component"
        return
    assert isinstance(found, BlockDiagonalTensor)
    assert found.values.shape == (64 // radix, radix, radix)
    assert (found.row_stride, found.col_stride) == (stride, stride)
    assert list(found.components()) == ["values"]
    np.testing.assert_array_equal(found.numpy(), weight)


def test_shuffled_blocks_are_found_with_explicit_indices() -> None:
    rng = np.random.default_rng(1)
    weight = butterfly_factor(rng, 64, 8, 1)[rng.permutation(64)][:, rng.permutation(64)]
    found = find_block_diagonal(CsrTensor.from_dense(weight))
    assert isinstance(found, BlockDiagonalTensor)
    assert list(found.components()) == ["values", "rows", "cols"]
    np.testing.assert_array_equal(found.numpy(), weight)


def test_half_empty_blocks_are_not_called_block_diagonal() -> None:
    weight = np.zeros((40, 40), np.float32)
    weight[:20, :20] = 1
    weight[20:, 20] = weight[20, 20:] = 1
    found = find_block_diagonal(CsrTensor.from_dense(weight), min_fill=0.9)
    assert isinstance(found, str)
    assert "full" in found


def test_rows_without_non_zeros_keep_their_place() -> None:
    weight = np.diag([1.0, 0.0, 3.0, 0.0, 5.0]).astype(np.float32)
    found = find_block_diagonal(CsrTensor.from_dense(weight))
    assert isinstance(found, BlockDiagonalTensor)
    np.testing.assert_array_equal(found.numpy(), weight)


@given(st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(1, 8))
def test_a_stride_is_recovered_from_its_indices(stride: int, size: int) -> None:
    indices = strided_indices(12, size, stride)
    assert sorted(indices.reshape(-1)) == list(range(12 * size))
    found = stride_of(indices)
    np.testing.assert_array_equal(strided_indices(12, size, found), indices)


def test_csr_agrees_with_scipy() -> None:
    matrix = scipy.sparse.random_array((30, 70), density=0.2, rng=0, dtype=np.float32).tocsr()
    np.testing.assert_array_equal(CsrTensor.from_scipy(matrix).numpy(), matrix.toarray())
    np.testing.assert_array_equal(
        CsrTensor.from_scipy(matrix).to_scipy().toarray(), matrix.toarray()
    )


def test_csr_sorts_and_merges_what_comes_from_outside() -> None:
    csr = CsrTensor.from_components(
        np.array([1, 2, 3, 0], np.float32), np.array([3, 0, 3, 1]), np.array([0, 3, 4]), (2, 4)
    )
    csr.check()
    np.testing.assert_array_equal(csr.numpy(), [[2, 0, 0, 4], [0, 0, 0, 0]])


def test_rows_are_scaled() -> None:
    weight = unstructured(np.random.default_rng(2), (5, 9), 0.5)
    factor = np.arange(5, dtype=np.float32)
    scaled = CsrTensor.from_dense(weight).scale_rows(factor)
    np.testing.assert_array_equal(scaled.numpy(), weight * factor[:, None])


@pytest.mark.parametrize(
    ("limit", "dtype"), [(256, np.uint8), (257, np.uint16), (1 << 16, np.uint16), (65537, np.int32)]
)
def test_indices_take_the_narrowest_type_that_fits(limit: int, dtype: type) -> None:
    assert narrowest_index_dtype(limit) == dtype
    assert limit - 1 <= np.iinfo(dtype).max


def test_all_encodings_keep_the_contract() -> None:
    weight = blocky(np.random.default_rng(3), (32, 64), 8, 0.3)
    csr = CsrTensor.from_dense(weight)
    diagonal = find_block_diagonal(csr, min_fill=0)
    made: list[Encoding] = [
        csr,
        BsrTensor.from_csr(csr, (8, 8)),
        DenseTensor.from_dense(weight),
        CsrTensor.from_dense(np.zeros((32, 64), np.float32)),
    ]
    if not isinstance(diagonal, str):
        made.append(diagonal)
    for encoding in made:
        assert isinstance(encoding, Encoding)
        assert encoding.shape == (32, 64)
        assert encoding.dtype == np.float32
        assert encoding.numpy().shape == (32, 64)
        assert "values" in encoding.components()
        assert encoding.stored == encoding.components()["values"].size


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: CsrTensor(np.ones(2), np.zeros(2, int), np.array([0, 1]), 3),
            "indptr of a 1x3 weight must run from 0 to 2",
        ),
        (
            lambda: CsrTensor(np.ones(2), np.zeros(3, int), np.array([0, 2]), 3),
            "indices of a 1x3 weight must have 2 entries, got 3",
        ),
        (
            lambda: CsrTensor.from_components(np.ones(1), np.array([7]), np.array([0, 1]), (1, 3)),
            r"must be in \[0, 3\), got 7",
        ),
        (
            lambda: CsrTensor.from_components(
                np.ones(2), np.array([0, 1]), np.array([0, 2, 1, 2]), (3, 3)
            ),
            "must not fall",
        ),
        (
            lambda: BsrTensor.from_dense(np.ones((6, 6), np.float32), (4, 4)),
            "blocksize 4x4 must divide the shape 6x6",
        ),
        (
            lambda: BlockDiagonalTensor(
                np.ones((1, 2, 2)), np.array([[0, 0]]), np.array([[0, 1]]), 2, 2
            ),
            "each of 2 outputs once",
        ),
        (lambda: DenseTensor(np.ones(3)), "must have 2 dimensions, got 1"),
    ],
)
def test_a_broken_rule_is_told_with_its_value(make: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()  # type: ignore[operator]


def test_rows_scaled_by_zero_are_dropped() -> None:
    weight = unstructured(np.random.default_rng(4), (6, 9), 0.9)
    scaled = CsrTensor.from_dense(weight).scale_rows(np.array([0, 1, 0, 1, 0, 1], np.float32))
    assert scaled.stored == np.count_nonzero(weight[1::2])


def test_components_of_very_unequal_size_are_refused_before_they_fill_memory() -> None:
    n = 20_000
    arrow = scipy.sparse.eye_array(n, dtype=np.float32).tolil()
    arrow[: n // 2, 0] = 1
    tracemalloc.start()
    found = find_block_diagonal(CsrTensor.from_scipy(arrow.tocsr()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(found, str)
    assert peak < 20_000_000


def test_a_side_that_is_not_covered_has_no_stride() -> None:
    weight = np.zeros((16, 20), np.float32)
    weight[:, :16] = butterfly_factor(np.random.default_rng(5), 16, 4, 1)
    found = find_block_diagonal(CsrTensor.from_dense(weight))
    assert isinstance(found, BlockDiagonalTensor)
    assert (found.row_stride, found.col_stride) == (1, 0)
    np.testing.assert_array_equal(found.numpy(), weight)

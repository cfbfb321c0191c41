"""Constants move to the right, and transposes cancel."""

import numpy as np
import pytest
from support import evaluate, model, op_types, run_passes, said, unstructured

from nfcompile.passes import default_pipeline

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 5)).astype(np.float32)
LEFT = "agraph (float[6,b] x) => (float[8,b] y) { y = MatMul(w, x) }"


def test_a_sparse_constant_on_the_left_moves_to_the_right() -> None:
    source = model(LEFT, w=unstructured(RNG, (8, 6), 0.2))
    expected = evaluate(source, x=X)[0]
    assert run_passes(source, "canonicalize,fold-masks,remove-unused") == 3
    assert op_types(source) == ["Transpose", "MatMul", "Transpose"]
    assert source.graph[1].inputs[1].const_value.numpy().shape == (6, 8)
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-6)
    assert "moved from the left" in said(source, "applied")[0]


def test_a_dense_constant_on_the_left_is_left_alone() -> None:
    source = model(LEFT, w=RNG.standard_normal((8, 6)).astype(np.float32))
    assert run_passes(source, "canonicalize") == 0
    assert op_types(source) == ["MatMul"]


def test_says_why_a_product_of_unknown_rank_is_left_alone() -> None:
    source = model(
        "agraph (float[b,n] v, int64[k] s) => (float[8,m] y)"
        " { x = Reshape(v, s)\n y = MatMul(w, x) }",
        w=unstructured(RNG, (8, 6), 0.2),
    )
    assert run_passes(source, "canonicalize") == 0
    assert "of unknown rank" in said(source, "missed")[0]


def test_transposes_that_undo_each_other_go() -> None:
    source = model(
        "agraph (float[a,b,c] x) => (float[a,b,c] y) { t = Transpose<perm=[1,2,0]>(x)\n"
        " u = Transpose<perm=[2,0,1]>(t)\n y = Relu(u) }"
    )
    assert run_passes(source, "canonicalize,remove-unused") == 2
    assert op_types(source) == ["Relu"]


def test_transposes_that_do_not_cancel_stay_and_a_second_run_finds_nothing() -> None:
    source = model(
        "agraph (float[a,b,c] x) => (float[c,a,b] y) { t = Transpose<perm=[1,2,0]>(x)\n"
        " u = Transpose<perm=[1,2,0]>(t)\n y = Relu(u) }"
    )
    assert run_passes(source, "canonicalize") == 0
    assert op_types(source) == ["Transpose", "Transpose", "Relu"]


def test_a_constant_that_stayed_dense_goes_back_to_the_left() -> None:
    source = model(LEFT, w=unstructured(RNG, (8, 6), 0.4))
    expected = evaluate(source, x=X)[0]
    run_passes(source, "canonicalize,fold-masks,remove-unused")
    assert op_types(source) == ["Transpose", "MatMul", "Transpose"]
    run_passes(source, "canonicalize{restore=true},fold-masks,remove-unused")
    assert op_types(source) == ["MatMul"]
    np.testing.assert_allclose(evaluate(source, x=X)[0], expected, rtol=1e-6)


@pytest.mark.parametrize(("density", "encoding"), [(0.02, "csr"), (0.45, "dense")])
def test_the_default_pipeline_moves_what_pays_and_nothing_else(
    density: float, encoding: str
) -> None:
    n = 256
    source = model(
        f"agraph (float[{n},b] x) => (float[{n},b] y) {{ r = Relu(x)\n y = MatMul(w, r) }}",
        w=unstructured(RNG, (n, n), density),
    )
    x = RNG.standard_normal((n, 3)).astype(np.float32)
    expected = evaluate(source, x=x)[0]
    run_passes(source, default_pipeline("ort-cpu", 1))
    products = {"csr": ["Relu", "Transpose", "CsrMatMul", "Transpose"], "dense": ["Relu", "MatMul"]}
    assert op_types(source) == products[encoding]
    np.testing.assert_allclose(evaluate(source, x=x)[0], expected, rtol=1e-4, atol=1e-4)


def test_casts_to_the_same_type_go() -> None:
    source = model(
        "agraph (float[a,b] x, double[a] like) => (float[a,b] y, float[a,b] z)"
        " { s = Cast<to=1>(x)\n t = CastLike(s, x)\n u = Cast<to=11>(t)\n v = CastLike(u, like)\n"
        " w = Cast<to=1>(v)\n y = Relu(w)\n z = Cast<to=1>(x) }"
    )
    run_passes(source, "infer-shapes,canonicalize")
    assert op_types(source) == ["Cast", "Cast", "Relu", "Cast"]  # to double, and back; an output


END = np.iinfo(np.int64).max


@pytest.mark.parametrize(
    ("bounds", "left"),
    [
        ({"s": 0, "e": END, "a": 1, "t": 1}, ["Relu"]),
        ({"s": 0, "e": END, "a": 1}, ["Relu"]),
        ({"s": 0, "e": np.iinfo(np.int32).max, "a": 1}, ["Relu"]),
        ({"s": 0, "e": 5, "a": 1}, ["Slice", "Relu"]),  # all of this input, not of any
        ({"s": 1, "e": END, "a": 1}, ["Slice", "Relu"]),
        ({"s": 0, "e": END, "a": 1, "t": 2}, ["Slice", "Relu"]),
    ],
)
def test_slices_of_all_there_is_go(bounds: dict[str, int], left: list[str]) -> None:
    source = model(
        f"agraph (float[a,b] x) => (float[a,c] y)"
        f" {{ z = Slice(x, {', '.join(bounds)})\n y = Relu(z) }}",
        **{name: np.array([value]) for name, value in bounds.items()},
    )
    expected = evaluate(source, x=X)[0]
    run_passes(source, "canonicalize,remove-unused")
    assert op_types(source) == left
    np.testing.assert_array_equal(evaluate(source, x=X)[0], expected)
    assert run_passes(source, "canonicalize") == 0

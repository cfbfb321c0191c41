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


def slices(source: object, **inputs: np.ndarray) -> list[str]:
    expected = evaluate(source, **inputs)
    run_passes(source, "infer-shapes,canonicalize,remove-unused")
    for got, right in zip(evaluate(source, **inputs), expected, strict=True):
        np.testing.assert_array_equal(got, right)
    assert run_passes(source, "canonicalize") == 0
    return op_types(source)


@pytest.mark.parametrize(
    ("start", "end", "step", "left"),
    [
        (0, np.iinfo(np.int64).max, 1, ["Relu"]),
        (0, np.iinfo(np.int32).max, 1, ["Relu"]),
        (0, 5, 1, ["Slice", "Relu"]),  # as many as there are in this input, not in all
        (1, np.iinfo(np.int64).max, 1, ["Slice", "Relu"]),
        (0, np.iinfo(np.int64).max, 2, ["Slice", "Relu"]),
    ],
)
def test_slices_of_all_there_is_go(start: int, end: int, step: int, left: list[str]) -> None:
    # Bounds as torch.export writes them: scalars that get their dimension.
    bounds = {"s": start, "e": end, "a": 1, "t": step}
    text = "\n".join(f"{name}1 = Reshape({name}, one)" for name in bounds)
    source = model(
        f"agraph (float[a,b] x) => (float[a,c] y)"
        f" {{ {text}\n z = Slice(x, s1, e1, a1, t1)\n y = Relu(z) }}",
        one=np.array([-1]),
        **{name: np.array(value) for name, value in bounds.items()},
    )
    assert slices(source, x=X) == left


def test_only_integer_constants_are_given_their_dimension() -> None:
    source = model(
        "agraph (float[a,b] x, int64 i) => (float[c] y, int64[d] z, int64[e] o)"
        " { f = Reshape(c, one)\n r = ReduceSum<keepdims=0>(x)\n u = Reshape(r, one)\n"
        " y = Add(f, u)\n z = Reshape(i, one)\n o = Reshape(k, one) }",
        one=np.array([-1]),
        c=np.float32(2),
        k=np.array(3),
    )
    assert (
        slices(source, x=X, i=np.array(7))
        == ["Reshape", "ReduceSum", "Reshape", "Add"] + ["Reshape"] * 2
    )

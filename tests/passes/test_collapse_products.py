"""Linear layers with nothing between them become fewer, where that is estimated faster."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import scipy.sparse
import torch
from support import (
    blocky,
    butterfly_factor,
    evaluate,
    model,
    op_types,
    run_passes,
    said,
    unstructured,
)

import nfcompile
from nfcompile.cost.linear import DEFAULT_BATCHES, estimate_us
from nfcompile.ir.candidates import Candidate, dense_candidate
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.linear import find_linears
from nfcompile.ir.remarks import decisions
from nfcompile.models.cascade_mlp import cascade_mlp
from nfcompile.sparse import CsrTensor
from nfcompile.target import Target

RNG = np.random.default_rng(0)
N = 32
X = RNG.standard_normal((5, N)).astype(np.float32)
COLLAPSE = "collapse-products{threads=1}"
HEAD = f"agraph (float[b,{N}] x) => (float[b,{N}] y)"
CHAIN = f"{HEAD} {{ h = Gemm<transB=1>(x, w0, b0)\n y = Gemm<transB=1>(h, w1, b1) }}"


def factors(count: int, n: int = N, radix: int = 2) -> list[np.ndarray]:
    return [butterfly_factor(RNG, n, radix, min(radix**i, n // radix)) for i in range(count)]


def biases(n: int = N) -> dict[str, np.ndarray]:
    return {f"b{i}": RNG.standard_normal(n).astype(np.float32) for i in range(4)}


def kept_sparse(source: ir.Model, name: str, weight: np.ndarray, *, transposed: bool) -> None:
    """Turns a constant into the form in which SparseLinear's weights come."""
    tensor = EncodedTensor(CsrTensor.from_dense(weight), transposed=transposed, name=name)
    source.graph.initializers[name].const_value = tensor


def check(source: ir.Model, x: np.ndarray, collapse: str, products: int) -> None:
    """Runs the pass: so many products are left, numbers agree, a second run finds nothing."""
    expected = evaluate(source, x=x)[0]
    run_passes(source, f"infer-shapes,{collapse}")
    assert len(list(find_linears(source))) == products
    found = evaluate(source, x=x)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert run_passes(source, collapse) == 0


@pytest.mark.parametrize(
    "body",
    [
        "{ h = Gemm<transB=1>(x, w0, b0)\n y = Gemm<transB=1>(h, w1, b1) }",
        "{ h = Gemm<transB=1, alpha=0.5, beta=2.0>(x, w0, b0)\n y = Gemm<alpha=3.0>(h, w1) }",
        "{ h = MatMul(x, w0)\n y = MatMul(h, w1) }",
        "{ g = MatMul(x, w0)\n h = Add(g, b0)\n y = MatMul(h, w1) }",
        "{ g = MatMul(x, w0)\n h = Add(b0, g)\n i = MatMul(h, w1)\n y = Add(i, b1) }",
        "{ g = MatMul(x, w0)\n h = Add(g, b0)\n y = Gemm(h, w1, b1) }",
        "{ h = Gemm(x, w0, b0)\n y = MatMul(h, w1) }",
    ],
)
def test_a_small_cascade_becomes_one_layer(body: str) -> None:
    w0, w1 = factors(2)
    source = model(f"{HEAD} {body}", w0=w0, w1=w1, **biases())
    check(source, X, COLLAPSE, products=1)
    assert len(op_types(source)) <= 2
    assert "2 layers multiplied out to one of 32x32" in said(source, "applied")[0]
    assert not {"w0", "w1"} & {item.weight.name for item in find_linears(source)}


@pytest.mark.parametrize("lead", ["", "b,", "3,b,"])
def test_any_rank_of_activations_will_do(lead: str) -> None:
    text = f"agraph (float[{lead}{N}] x) => (float[{lead}{N}] y)"
    body = "{ g = MatMul(x, w0)\n h = Add(g, b0)\n y = MatMul(h, w1) }"
    w0, w1 = factors(2)
    x = X if lead == "b," else X[0] if not lead else np.stack([X, X, X])
    source = model(f"{text} {body}", w0=w0, w1=w1, **biases())
    check(source, x, COLLAPSE, products=1)


def test_weights_kept_by_their_non_zeros_are_taken_either_way_around() -> None:
    w0, w1 = factors(2)
    body = "{ h = MatMul(x, w0)\n y = Gemm<transB=1>(h, w1) }"
    source = model(f"{HEAD} {body}", w0=w0.T.copy(), w1=w1)
    kept_sparse(source, "w0", w0, transposed=True)
    kept_sparse(source, "w1", w1.T.copy(), transposed=True)
    check(source, X, COLLAPSE, products=1)


def test_a_product_that_stays_sparse_stays_so() -> None:
    n = 256
    w0, w1 = blocky(RNG, (n, n), 32, 0.05), butterfly_factor(RNG, n, 4, 1)
    body = "{ h = Gemm<transB=1>(x, w0)\n y = Gemm<transB=1>(h, w1) }"
    source = model(f"agraph (float[b,{n}] x) => (float[b,{n}] y) {body}", w0=w0, w1=w1)
    check(source, RNG.standard_normal((3, n)).astype(np.float32), COLLAPSE, products=1)
    (layer,) = find_linears(source)
    assert isinstance(layer.weight.const_value, EncodedTensor)


def test_a_wide_cascade_is_kept_with_the_reason() -> None:
    n = 1024
    body = "{ h = Gemm<transB=1>(x, w0)\n y = Gemm<transB=1>(h, w1) }"
    w0, w1 = (butterfly_factor(RNG, n, 32, stride) for stride in (1, 32))
    source = model(f"agraph (float[b,{n}] x) => (float[b,{n}] y) {body}", w0=w0, w1=w1)
    assert run_passes(source, COLLAPSE) == 0
    (line,) = said(source, "missed")
    assert "2 layers stay apart: one layer of 1024x1024 with about 1,048,576 non-zeros" in line
    assert "the time at batch" in line


def test_part_of_a_chain_is_multiplied_out_where_the_whole_does_not_pay() -> None:
    n = 1024
    weights = {
        "w0": butterfly_factor(RNG, n, 2, 1),
        "w1": butterfly_factor(RNG, n, 2, 2),  # with w0: blocks of 4
        "w2": butterfly_factor(RNG, n, 32, 32),
    }
    body = "{ g = Gemm<transB=1>(x, w0)\n h = Gemm<transB=1>(g, w1)\n y = Gemm<transB=1>(h, w2) }"
    source = model(f"agraph (float[b,{n}] x) => (float[b,{n}] y) {body}", **weights)
    check(source, RNG.standard_normal((3, n)).astype(np.float32), COLLAPSE, products=2)
    assert any("2 layers multiplied out" in line for line in said(source, "applied"))
    assert any("2 layers stay apart" in line for line in said(source, "missed"))


def test_a_narrow_waist_is_not_multiplied_out() -> None:
    n = 512
    body = "{ h = Gemm<transB=1>(x, w0)\n y = Gemm<transB=1>(h, w1) }"
    w0, w1 = (RNG.standard_normal(shape).astype(np.float32) for shape in ((8, n), (n, 8)))
    source = model(f"agraph (float[b,{n}] x) => (float[b,{n}] y) {body}", w0=w0, w1=w1)
    assert run_passes(source, COLLAPSE) == 0


@pytest.mark.parametrize("target", ["ort-cpu", "portable"])
@pytest.mark.parametrize("n", [16, 64, 128, 256, 512])
def test_the_result_is_estimated_slower_at_no_batch(n: int, target: str) -> None:
    names = {f"w{i}": weight for i, weight in enumerate(factors(3, n, 4))}
    body = "{ g = Gemm<transB=1>(x, w0)\n h = Gemm<transB=1>(g, w1)\n y = Gemm<transB=1>(h, w2) }"
    source = model(f"agraph (float[b,{n}] x) => (float[b,{n}] y) {body}", **names)
    machine = Target.host(target, 1)

    def times(source: ir.Model) -> list[float]:
        run_passes(source, f"encode-weights{{threads=1,target={target}}}")
        chosen = [_candidate(layer.weight.const_value) for layer in find_linears(source)]
        return [sum(estimate_us(c, b, machine) for c in chosen) for b in DEFAULT_BATCHES]

    kept = times(model(f"agraph (float[b,{n}] x) => (float[b,{n}] y) {body}", **names))
    run_passes(source, f"collapse-products{{threads=1,target={target}}}")
    assert all(a <= b * (1 + 1e-9) for a, b in zip(times(source), kept, strict=True))


def _candidate(tensor: Any) -> Candidate:
    if not isinstance(tensor, EncodedTensor):
        return dense_candidate(tuple(tensor.shape.numpy()))
    encoding: Any = tensor.encoding
    blocksize = {
        "csr": (1, 1),
        "bsr": encoding.values.shape[1:],
        "block-diagonal": encoding.values.shape[1:],
    }[encoding.kind]
    regular = encoding.kind == "block-diagonal" and bool(
        encoding.row_stride and encoding.col_stride
    )
    return Candidate(
        encoding.kind, "", encoding.shape, encoding.stored, 0, tuple(blocksize), regular
    )


SUMS = {
    "branches": "{ a = MatMul(x, w0)\n c = MatMul(x, w1)\n y = Add(a, c) }",
    "skip": "{ a = MatMul(x, w0)\n y = Add(a, x) }",
    "skip-first": "{ a = MatMul(x, w0)\n y = Add(x, a) }",
    "branches-skip-bias": (
        "{ a = MatMul(x, w0)\n c = MatMul(x, w1)\n s = Add(a, c)\n t = Add(s, x)\n y = Add(t, b0) }"
    ),
    "cascades": (
        "{ a = MatMul(x, w0)\n c = MatMul(a, w1)\n d = MatMul(x, w2)\n e = MatMul(d, w3)\n"
        " s = Add(c, e)\n y = Add(s, x) }"
    ),
    "biases-inside": (
        "{ a = Gemm(x, w0, b0)\n c = MatMul(a, w1)\n d = Gemm<transB=1>(x, w2, b1)\n"
        " s = Add(c, d)\n y = Add(s, x) }"
    ),
}


@pytest.mark.parametrize("target", ["ort-cpu", "portable"])
@pytest.mark.parametrize("name", SUMS)
def test_a_sum_of_layers_of_one_input_becomes_one_layer(name: str, target: str) -> None:
    weights = {f"w{i}": RNG.standard_normal((N, N)).astype(np.float32) for i in range(4)}
    source = model(f"{HEAD} {SUMS[name]}", **weights, **biases())
    check(source, X, f"collapse-products{{threads=1,target={target}}}", products=1)
    assert op_types(source).count("Add") <= ("bias" in name)
    assert any("merged into one layer of 32x32, dense" in line for line in said(source, "applied"))


def test_what_else_is_added_stays_added() -> None:
    text = f"agraph (float[b,{N}] x, float[b,{N}] r) => (float[b,{N}] y)"
    body = "{ a = MatMul(x, w0)\n s = Add(a, r)\n c = MatMul(x, w1)\n t = Add(c, s)\n y = Relu(t) }"
    w0, w1 = (RNG.standard_normal((N, N)).astype(np.float32) for _ in range(2))
    source = model(f"{text} {body}", w0=w0, w1=w1)
    expected = evaluate(source, x=X, r=2 * X)[0]
    assert run_passes(source, f"infer-shapes,{COLLAPSE}") >= 1
    assert op_types(source) == ["MatMul", "Add", "Relu"]
    np.testing.assert_allclose(evaluate(source, x=X, r=2 * X)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_merged_sum_goes_on_as_part_of_a_chain() -> None:
    body = "{ a = MatMul(x, w0)\n s = Add(a, x)\n y = MatMul(s, w1) }"
    weights = {f"w{i}": RNG.standard_normal((N, N)).astype(np.float32) for i in range(2)}
    check(model(f"{HEAD} {body}", **weights), X, COLLAPSE, products=1)


def test_a_sum_with_more_in_it_keeps_its_shapes_and_names() -> None:
    text = f"agraph (float[b,{N}] x, float[b,{N}] r) => (float[b,{N}] y)"
    body = (
        "{ a = MatMul(x, w0)\n s = Add(a, b0)\n t = Add(s, r)\n c = MatMul(x, w1)\n y = Add(t, c) }"
    )
    weights = {f"w{i}": RNG.standard_normal((N, N)).astype(np.float32) for i in range(2)}
    source = model(f"{text} {body}", b0=RNG.standard_normal((1, N)).astype(np.float32), **weights)
    expected = evaluate(source, x=X, r=-X)[0]
    assert run_passes(source, f"infer-shapes,{COLLAPSE}") >= 1
    assert op_types(source) == ["MatMul", "Add", "Add"]
    assert all(str(node.outputs[0].shape) == f"[b,{N}]" for node in source.graph)
    assert [item.weight.name for item in find_linears(source)] == ["w0.merged"]
    np.testing.assert_allclose(evaluate(source, x=X, r=-X)[0], expected, rtol=1e-4, atol=1e-4)


def test_an_input_that_is_added_twice_counts_twice() -> None:
    body = "{ a = MatMul(x, w0)\n s = Add(x, a)\n y = Add(s, x) }"
    check(model(f"{HEAD} {body}", w0=factors(1)[0]), X, COLLAPSE, products=1)


def test_a_value_within_a_chain_that_is_an_output_keeps_the_chain_apart() -> None:
    text = f"agraph (float[b,{N}] x) => (float[b,{N}] y, float[b,{N}] h)"
    w0, w1 = factors(2)
    source = model(f"{text} {{ h = MatMul(x, w0)\n y = MatMul(h, w1) }}", w0=w0, w1=w1)
    assert run_passes(source, COLLAPSE) == 0
    assert "h before it has other uses" in said(source, "missed")[0]


def test_says_why_a_sum_stays() -> None:
    n = 1024
    body = "{ a = MatMul(x, w0)\n c = MatMul(x, w1)\n y = Add(a, c) }"
    w0 = butterfly_factor(RNG, n, 32, 1)
    source = model(
        f"agraph (float[b,{n}] x) => (float[b,{n}] y) {body}",
        w0=w0,
        w1=unstructured(RNG, (n, n), 0.05),
    )
    assert run_passes(source, COLLAPSE) == 0
    assert "a sum of 2 layers stays: one layer of 1024x1024" in said(source, "missed")[0]


def test_a_skip_that_is_broadcast_is_left_alone() -> None:
    text = f"agraph (float[b,{N}] x) => (float[b,{N}] y) {{ a = MatMul(x, w0)\n y = Add(a, x) }}"
    source = model(text, w0=RNG.standard_normal((N, 1)).astype(np.float32))
    assert run_passes(source, COLLAPSE) == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "{ h = Gemm<transB=1>(x, w0)\n y = Gemm<transB=1>(h, w0) }",
            "weight w0 has other uses",
        ),
        (
            "{ h = Gemm<transB=1>(x, w0)\n g = Gemm<transB=1>(h, w1)\n r = Relu(h)\n"
            " y = Add(g, r) }",
            "h before it has other uses",
        ),
        (
            "{ h = Gemm<transB=1>(x, w0, x)\n y = Gemm<transB=1>(h, w1) }",
            "its bias is not a constant of one value per output",
        ),
        (
            "{ h = Gemm<transB=1>(x, w0, column)\n y = Gemm<transB=1>(h, w1) }",
            "its bias is not a constant of one value per output",
        ),
    ],
)
def test_says_why_a_chain_is_left_alone(body: str, words: str) -> None:
    w0, w1 = factors(2)
    column = RNG.standard_normal((N, 1)).astype(np.float32)
    head = HEAD.replace("[b,", f"[{N},")
    source = model(f"{head} {body}", w0=w0, w1=w1, column=column)
    assert run_passes(source, COLLAPSE) == 0
    assert any(f"not multiplied out: {words}" in line for line in said(source, "missed"))


def test_doubles_are_left_alone() -> None:
    w0, w1 = (weight.astype(np.float64) for weight in factors(2))
    text = CHAIN.replace("float", "double").replace(", b0", "").replace(", b1", "")
    source = model(text, w0=w0, w1=w1)
    assert run_passes(source, COLLAPSE) == 0
    assert "weight w0 is DOUBLE" in said(source, "missed")[0]


def test_a_weight_that_is_not_finite_is_left_for_encode_weights_to_name() -> None:
    w0, w1 = factors(2)
    w0[0, 0] = np.inf
    source = model(CHAIN, w0=w0, w1=w1, **biases())
    assert run_passes(source, COLLAPSE) == 0
    assert "weight w0 is not finite" in said(source, "missed")[0]


def test_an_activation_between_keeps_layers_apart() -> None:
    w0, w1 = factors(2)
    body = "{ h = Gemm<transB=1>(x, w0)\n r = Relu(h)\n y = Gemm<transB=1>(r, w1) }"
    source = model(f"{HEAD} {body}", w0=w0, w1=w1)
    assert run_passes(source, COLLAPSE) == 0
    assert not said(source, "missed")


def test_layers_in_a_branch_of_the_graph_are_left_where_they_are() -> None:
    text = f"""agraph (float[b,{N}] x, bool c) => (float[b,{N}] y) {{
        h = MatMul(x, w0)
        y = If (c) <
            then_branch = t () => (float[b,{N}] p) {{ q = MatMul(h, w1)\n p = MatMul(q, w2) }},
            else_branch = e () => (float[b,{N}] r) {{ r = Relu(h) }}
        >
    }}"""
    source = model(text, w0=factors(1)[0], w1=factors(1)[0], w2=factors(1)[0])
    for c in (True, False):
        expected = evaluate(source, x=X, c=np.array(c))[0]
        run_passes(source, f"infer-shapes,{COLLAPSE}")
        assert len(list(find_linears(source))) == 2
        found = evaluate(source, x=X, c=np.array(c))[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_product_too_large_to_win_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 20_000
    monkeypatch.setattr("nfcompile.cost.products.multiply", None)
    source = model(f"agraph (float[b,{n}] x) => (float[b,{n}] y) "
                   "{ g = MatMul(x, w0)\n h = MatMul(g, w1)\n y = MatMul(h, w2) }",
                   **{f"w{i}": X for i in range(3)})  # fmt: skip
    for i in range(3):
        matrix = scipy.sparse.random_array((n, n), density=16 / n, rng=i, dtype=np.float32)
        csr = CsrTensor.from_scipy(matrix.tocsr())
        tensor = EncodedTensor(csr, transposed=True, name=f"w{i}")
        source.graph.initializers[f"w{i}"].const_value = tensor
    assert run_passes(source, COLLAPSE) == 0
    assert "3 layers stay apart" in said(source, "missed")[0]


@pytest.mark.parametrize("target", ["ort-cpu", "portable"])
@pytest.mark.parametrize(
    "topology",
    [
        "parallel-butterfly(n=64, radix=2, parallel=2)",
        "parallel-butterfly(n=64, radix=4, parallel=3, skip=true)",
    ],
)
def test_a_small_cascade_compiles_to_one_layer_each(topology: str, target: str) -> None:
    module = cascade_mlp(64, 10, 2, topology, seed=0).eval()
    compiled = nfcompile.compile(module, torch.randn(4, 64), target, threads=1)
    assert [item.shape for item in compiled.decisions] == [(64, 64), (64, 64), (10, 64)]
    assert compiled.report.passed


def test_sums_that_follow_each_other_are_merged_one_by_one() -> None:
    body = (
        "a = MatMul(x, w0)\n b = MatMul(x, w1)\n s = Add(a, b)\n r = Add(s, x)\n h = Relu(r)\n"
        " c = MatMul(h, w2)\n d = MatMul(h, w3)\n t = Add(c, d)\n y = Add(t, r)"
    )
    weights = {f"w{i}": RNG.standard_normal((N, N)).astype(np.float32) for i in range(4)}
    check(model(f"{HEAD} {{ {body} }}", **weights), X, COLLAPSE, 2)


def test_on_cuda_small_factors_become_blocks_of_tensor_cores() -> None:
    n = 2048
    weights = factors(11, n)
    text = "\n".join(
        f"{'y' if i == 10 else f'h{i}'} = Gemm<transB=1>({f'h{i - 1}' if i else 'x'}, w{i})"
        for i in range(11)
    )
    source = model(
        f"agraph (float[4096,{n}] x) => (float[4096,{n}] y) {{ {text} }}",
        **{f"w{i}": weight for i, weight in enumerate(weights)},
    )
    run_passes(source, "infer-shapes,collapse-products{target=ort-cuda,threads=1}")
    run_passes(source, "encode-weights{target=ort-cuda,threads=1}")
    taken = decisions(source)
    assert len(taken) == 2
    for decision in taken:
        assert decision.encoding == "block-diagonal"
        assert 16 <= int(decision.pattern.split("x")[-1]) <= 128
    x = RNG.standard_normal((3, n)).astype(np.float32)
    expected = x
    for weight in weights:
        expected = expected @ weight.T
    found = x
    for linear in find_linears(source):
        found = found @ linear.csr().numpy().T
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())

"""Chains of products against dense float64 products, in both forms and on several threads."""

from itertools import product as product_of

import numpy as np
import pytest
from support_chains import Network, run, run_all, sample

from nfcompile import _native

ISAS = _native.test_isas()
BATCHES = (0, 1, 2, 7, 9, 16, 17, 33, 64, 65, 300)


def straight(isa: str, precision: str = "float32") -> Network:
    network = Network(isa, [50], precision)
    slot = network.csr(70, 50, 0, activation="relu")
    slot = network.csr(33, 70, slot, activation="relu", bias=False)
    network.csr(64, 33, slot)
    return network


def branches(isa: str, precision: str = "float32") -> Network:
    """Two butterflies in parallel and a skip, then a layer with a residual after its ReLU."""
    network = Network(isa, [64], precision)
    first = network.butterfly(64, 4, 1, 0)
    first = network.butterfly(64, 4, 16, first, residual=0)
    second = network.butterfly(64, 8, 8, 0)
    both = network.butterfly(64, 8, 1, second, residual=first, activation="relu")
    network.csr(64, 64, both, residual=both, activation="relu", mode=1)
    return network


def two_inputs(isa: str, precision: str = "float32") -> Network:
    network = Network(isa, [40, 64], precision)
    left = network.csr(64, 40, 0)
    right = network.butterfly(64, 4, 4, 1, residual=left, activation="relu")
    network.csr(30, 64, right)
    return network


def norms(isa: str, precision: str = "float32") -> Network:
    """As in a transformer: what is normalized is added again, and norms read inputs, too."""
    network = Network(isa, [67, 67], precision)
    first = network.norm(0, bias=False)
    slot = network.csr(40, 67, first, activation="relu")
    slot = network.csr(67, 40, slot, residual=1)
    second = network.norm(slot, centered=False)
    third = network.csr(67, 67, second, residual=second)
    network.csr(31, 67, network.norm(third), residual=-1)
    return network


def one_from_another(isa: str, precision: str = "float32") -> Network:
    """A norm that reads a norm."""
    network = Network(isa, [33], precision)
    slot = network.csr(18, 33, 0)
    network.norm(network.norm(slot), centered=False)
    return network


def gated(isa: str, precision: str = "float32") -> Network:
    """As in SwiGLU: one layer multiplies with what another has given."""
    network = Network(isa, [40], precision)
    up = network.csr(70, 40, 0, bias=False)
    gate = network.csr(70, 40, 0, residual=up, activation="relu", mode=2)
    network.csr(40, 70, network.butterfly(70, 2, 1, gate, residual=up, mode=2), residual=0)
    return network


NETWORKS = {
    "gated": gated,
    "straight": straight,
    "branches": branches,
    "two inputs": two_inputs,
    "norms": norms,
    "one norm from another": one_from_another,
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_chain_agrees_with_dense_products(name: str, isa: str) -> None:
    network = NETWORKS[name](isa)
    chain = network.chain()
    for batch, form in product_of(BATCHES, ("auto", "rows", "tiles")):
        inputs = sample(network, batch)
        np.testing.assert_allclose(
            run(chain, inputs, form=form), network.expected(inputs), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_chain_in_bfloat16_stays_within_its_rounding(name: str, isa: str) -> None:
    network = NETWORKS[name](isa, "bfloat16")
    chain = network.chain()
    for batch in BATCHES[1:]:
        inputs = sample(network, batch)
        expected = network.expected(inputs)
        for form in ("rows", "tiles"):
            got = run(chain, inputs, form=form)
            error = np.abs(got - expected).max() / np.abs(expected).max()
            # Five layers, each rounding inputs and weights to 8 bits.
            assert error < 2e-2, (batch, form)
        assert error > 1e-6, "computed in fp32"


@pytest.mark.parametrize("isa", [isa for isa in ISAS if "emulated" not in isa])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", [1, 2])
def test_the_number_of_threads_does_not_change_a_bit(isa: str, precision: str, kind: int) -> None:
    network = Network(isa, [500], precision)
    slot = network.csr(300, 500, 0, kind, activation="relu")
    slot = network.csr(300, 300, slot, kind, residual=slot)
    network.csr(200, 300, slot, kind, residual=-1)
    chain = network.chain()
    assert chain.workers(64, threads=4) > 1
    for batch in (1, 20, 70, 1500):
        inputs = sample(network, batch)
        expected = run(chain, inputs)
        for threads in (2, 5):
            for _ in range(5):
                np.testing.assert_array_equal(run(chain, inputs, threads), expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_rows_that_are_zero_stay_zero_where_layers_keep_zero(isa: str, precision: str) -> None:
    network = Network(isa, [50], precision)
    slot = network.csr(50, 50, 0, bias=False, activation="relu")
    slot = network.csr(50, 50, slot, bias=False)
    network.csr(50, 50, slot, bias=False, residual=slot)
    chain = network.chain()
    x = np.zeros((200, 50), np.float32)
    np.testing.assert_array_equal(run(chain, [x]), 0)
    x[70] = 1  # one tile is alive
    expected = network.expected([x])
    got = run(chain, [x])
    np.testing.assert_allclose(got, expected, atol=2e-2 * np.abs(expected).max())
    assert np.abs(got[70]).max() > 0.1
    np.testing.assert_array_equal(np.delete(got, 70, axis=0), 0)


@pytest.mark.parametrize("isa", ISAS)
def test_zeros_do_not_stop_a_layer_with_a_bias_or_a_residual(isa: str) -> None:
    network = Network(isa, [50, 50])
    slot = network.csr(50, 50, 0, bias=False)
    slot = network.csr(50, 50, slot, bias=False, residual=1)
    network.csr(20, 50, slot)
    x, r = np.zeros((70, 50), np.float32), sample(network, 70)[1]
    chain = network.chain()
    for inputs in ([x, r], [x, x], [r, x]):
        np.testing.assert_allclose(
            run(chain, inputs, form="tiles"), network.expected(inputs), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_factor_that_is_zero_gives_zero(isa: str, precision: str) -> None:
    network = Network(isa, [50, 50], precision)
    network.csr(50, 50, 0, residual=1, activation="relu", mode=2)
    x, factor = sample(network, 600)
    factor[:300] = 0  # more than the widest tile
    for form in ("rows", "tiles"):
        y = run(network.chain(), [x, factor], form=form)
        np.testing.assert_array_equal(y[:300], 0)
        assert np.abs(y[300:]).max() > 0.1


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nan_reaches_only_the_outputs_that_read_it(isa: str, precision: str) -> None:
    network = Network(isa, [33], precision)
    network.csr(21, 33, 0, bias=False)
    x = np.ones((40, 33), np.float32)
    x[3, 5] = np.nan
    x[4] = np.inf
    for form in ("rows", "tiles"):
        y = run(network.chain(), [x], form=form)
        (weight,) = network.dense
        assert isinstance(weight, np.ndarray)
        np.testing.assert_array_equal(np.isnan(y[3]), weight[:, 5] != 0)
        assert np.isfinite(np.delete(y, [3, 4], axis=0)).all()
        reads = (weight != 0).any(axis=1)
        np.testing.assert_array_equal(np.isfinite(y[4]), ~reads)


def test_slots_that_do_not_fit_are_refused() -> None:
    network = straight("")
    network.sources[1] = 0
    with pytest.raises(ValueError, match="layer 1 must read 70 features, got 50"):
        network.chain()
    network.sources[1] = 7
    with pytest.raises(ValueError, match=r"source of layer 1 must lie in 0 \.\. 1, got 7"):
        network.chain()
    with pytest.raises(ValueError, match="at least one layer"):
        Network("", [3]).chain()
    network = Network("", [3])
    network.norm(0)
    with pytest.raises(ValueError, match="at least one product"):
        network.chain()
    network = norms("")
    network.residuals[0] = 1
    with pytest.raises(ValueError, match="layer 0 is a norm, which adds no residual"):
        network.chain()


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([0, 3], r"must lie in 1 \.\. 3, got 0"),
        ([2, 2, 3], "must differ, got 2 twice"),
        ([1, 2], "the last layer of a chain must be an output"),
    ],
)
def test_outputs_that_are_not_results_of_layers_are_refused(outputs: list[int], words: str) -> None:
    network = straight("")
    network.outputs = outputs
    with pytest.raises(ValueError, match=words):
        network.chain()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "outputs"), [("norms", [4, 8, 2, 5]), ("branches", [3, 5, 4, 1])])
def test_a_chain_gives_several_results(
    name: str, outputs: list[int], precision: str, isa: str
) -> None:
    network = NETWORKS[name](isa, precision)
    network.outputs = outputs
    chain = network.chain()
    widths = [network.width(slot) for slot in outputs]
    limit = 1e-5 if precision == "float32" else 2e-2
    for batch, form in product_of((1, 9, 64, 300), ("rows", "tiles")):
        inputs = sample(network, batch)
        slots = network.all_expected(inputs)
        first = run_all(chain, widths, inputs, 1, form)
        for slot, got in zip(outputs, first, strict=True):
            assert np.abs(got - slots[slot]).max() <= limit * np.abs(slots[slot]).max(), slot
        for got, again in zip(first, run_all(chain, widths, inputs, 3, form), strict=True):
            np.testing.assert_array_equal(got, again)


def test_inputs_of_another_shape_are_refused() -> None:
    chain = two_inputs("").chain()
    x, y = np.zeros((3, 40), np.float32), np.zeros((3, 30), np.float32)
    with pytest.raises(ValueError, match="must be given as many, got 1"):
        chain.run([x], [y])
    with pytest.raises(ValueError, match=r"x must have shape \(3, 64\), got \(3, 40\)"):
        chain.run([x, x], [y])

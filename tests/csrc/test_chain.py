"""Chains of products against dense float64 products, in both forms and on several threads."""

from dataclasses import dataclass, field
from itertools import product as product_of

import numpy as np
import pytest
from numpy.typing import NDArray

from nfcompile import _native

ISAS = _native.test_isas()
BATCHES = (0, 1, 2, 7, 9, 16, 17, 33, 64, 65, 300)
Floats = NDArray[np.float32]


@dataclass
class Network:
    """A chain, layer by layer, with the dense matrices that it stands for."""

    isa: str
    inputs: list[int]
    precision: str = "float32"
    dense: list[NDArray[np.float64]] = field(default_factory=list)
    products: list[_native.Product] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    residuals: list[int] = field(default_factory=list)
    biases: list[Floats | None] = field(default_factory=list)
    activations: list[str] = field(default_factory=list)
    after: list[bool] = field(default_factory=list)

    def csr(self, out: int, in_: int, source: int, **options: object) -> int:
        """Adds a layer with one kind of row for every two outputs; returns its slot."""
        rng = np.random.default_rng(len(self.dense))
        mask = np.repeat(rng.random(((out + 1) // 2, in_)) < 0.3, 2, axis=0)[:out]
        weight = np.where(mask, rng.standard_normal((out, in_)), 0).astype(np.float32) / 2
        row, column = np.nonzero(mask)
        starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
        made = _native.pack_csr(
            weight[row, column], column.astype(np.int32), starts, in_, isa=self.isa,
            precision=self.precision,
        )  # fmt: skip
        return self._add(weight, made, source, **options)

    def butterfly(self, n: int, radix: int, stride: int, source: int, **options: object) -> int:
        """Adds a factor; returns its slot."""
        rng = np.random.default_rng(100 + len(self.dense))
        values = rng.standard_normal((n // radix, radix, radix)).astype(np.float32) / 2
        weight = np.zeros((n, n), np.float32)
        for b, block in enumerate(values):
            at = b // stride * (radix * stride) + np.arange(radix) * stride + b % stride
            weight[np.ix_(at, at)] = block
        made = _native.pack_block_diagonal(
            values, None, None, n, n, row_stride=stride, col_stride=stride, isa=self.isa,
            precision=self.precision,
        )  # fmt: skip
        return self._add(weight, made, source, **options)

    def _add(
        self,
        weight: Floats,
        made: _native.Product,
        source: int,
        residual: int = -1,
        activation: str = "none",
        bias: bool = True,
        after: bool = False,
    ) -> int:
        rng = np.random.default_rng(200 + len(self.dense))
        self.dense.append(weight.astype(np.float64))
        self.products.append(made)
        self.sources.append(source)
        self.residuals.append(residual)
        self.biases.append(rng.standard_normal(len(weight)).astype(np.float32) if bias else None)
        self.activations.append(activation)
        self.after.append(after)
        return len(self.inputs) + len(self.dense) - 1

    def chain(self) -> _native.Chain:
        zeros = [0.0] * len(self.dense)
        return _native.Chain(
            self.inputs, self.products, self.sources, self.residuals, self.biases,
            self.activations, zeros, zeros, self.after,
        )  # fmt: skip

    def expected(self, inputs: list[Floats]) -> NDArray[np.float64]:
        slots = [x.astype(np.float64) for x in inputs]
        for layer, weight in enumerate(self.dense):
            t = slots[self.sources[layer]] @ weight.T
            bias, residual = self.biases[layer], self.residuals[layer]
            t = t if bias is None else t + bias
            added = 0 if residual < 0 else slots[residual]
            t = t if self.after[layer] else t + added
            t = np.maximum(t, 0) if self.activations[layer] == "relu" else t
            slots.append(t + added if self.after[layer] else t)
        return slots[-1]


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
    network.csr(64, 64, both, residual=both, activation="relu", after=True)
    return network


def two_inputs(isa: str, precision: str = "float32") -> Network:
    network = Network(isa, [40, 64], precision)
    left = network.csr(64, 40, 0)
    right = network.butterfly(64, 4, 4, 1, residual=left, activation="relu")
    network.csr(30, 64, right)
    return network


NETWORKS = {"straight": straight, "branches": branches, "two inputs": two_inputs}


def run(chain: _native.Chain, inputs: list[Floats], threads: int = 1, form: str = "auto") -> Floats:
    """The result, written between guards that must stay."""
    size = len(inputs[0]) * chain.out_features
    memory = np.full(size + 40, np.nan, np.float32)
    y = memory[17 : 17 + size].reshape(len(inputs[0]), chain.out_features)
    chain.run(inputs, y, threads=threads, form=form)
    assert np.isnan(memory[:17]).all() and np.isnan(memory[17 + size :]).all()
    return y


def sample(network: Network, batch: int) -> list[Floats]:
    rng = np.random.default_rng(batch)
    return [rng.standard_normal((batch, n)).astype(np.float32) for n in network.inputs]


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


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa != "avx512-emulated"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_number_of_threads_does_not_change_a_bit(isa: str, precision: str) -> None:
    network = Network(isa, [400], precision)
    slot = network.csr(300, 400, 0, activation="relu")
    slot = network.csr(300, 300, slot, residual=slot)
    network.csr(200, 300, slot, residual=-1)
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
def test_nan_reaches_only_the_outputs_that_read_it(isa: str, precision: str) -> None:
    network = Network(isa, [33], precision)
    network.csr(21, 33, 0, bias=False)
    x = np.ones((40, 33), np.float32)
    x[3, 5] = np.nan
    x[4] = np.inf
    for form in ("rows", "tiles"):
        y = run(network.chain(), [x], form=form)
        np.testing.assert_array_equal(np.isnan(y[3]), network.dense[0][:, 5] != 0)
        assert np.isfinite(np.delete(y, [3, 4], axis=0)).all()
        reads = (network.dense[0] != 0).any(axis=1)
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


def test_inputs_of_another_shape_are_refused() -> None:
    chain = two_inputs("").chain()
    x, y = np.zeros((3, 40), np.float32), np.zeros((3, 30), np.float32)
    with pytest.raises(ValueError, match="must be given as many, got 1"):
        chain.run([x], y)
    with pytest.raises(ValueError, match=r"x must have shape \(3, 64\), got \(3, 40\)"):
        chain.run([x, x], y)

"""Chains of products, layer by layer, with the dense matrices that they stand for."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nfcompile import _native

__all__ = ["Floats", "Network", "run", "run_all", "sample"]

Floats = NDArray[np.float32]
Norm = tuple[Floats, float, bool]  # scale, epsilon, whether it is centered


@dataclass
class Network:
    """A chain, layer by layer, with the dense matrices that it stands for."""

    isa: str
    inputs: list[int]
    precision: str = "float32"
    dense: list[NDArray[np.float64] | Norm] = field(default_factory=list)
    layers: list[_native.Product | tuple[Floats, float, bool]] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    residuals: list[int] = field(default_factory=list)
    biases: list[Floats | None] = field(default_factory=list)
    activations: list[str] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def norm(self, source: int, centered: bool = True, bias: bool = True) -> int:
        """Adds a norm; returns its slot."""
        rng = np.random.default_rng(300 + len(self.dense))
        scale = rng.standard_normal(self.width(source)).astype(np.float32)
        norm = (scale, 0.01, centered)
        return self._add(len(scale), norm, norm, source, bias=bias)

    def width(self, slot: int) -> int:
        """Features of a slot."""
        made = [*self.inputs, *(len(of[0] if isinstance(of, tuple) else of) for of in self.dense)]
        return made[slot]

    def csr(self, out: int, in_: int, source: int, kind: int = 2, **options: object) -> int:
        """Adds a layer with one kind of row for every `kind` outputs; returns its slot."""
        rng = np.random.default_rng(len(self.dense))
        mask = np.repeat(rng.random((-(-out // kind), in_)) < 0.3, kind, axis=0)[:out]
        weight = np.where(mask, rng.standard_normal((out, in_)), 0).astype(np.float32) / 2
        row, column = np.nonzero(mask)
        starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
        made = _native.pack_csr(
            weight[row, column], column.astype(np.int32), starts, in_, isa=self.isa,
            precision=self.precision,
        )  # fmt: skip
        return self._add(out, weight.astype(np.float64), made, source, **options)

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
        return self._add(n, weight.astype(np.float64), made, source, **options)

    def _add(
        self,
        out: int,
        dense: NDArray[np.float64] | Norm,
        made: _native.Product | Norm,
        source: int,
        residual: int = -1,
        activation: str = "none",
        bias: bool = True,
        mode: int = 0,
    ) -> int:
        rng = np.random.default_rng(200 + len(self.dense))
        self.dense.append(dense)
        self.layers.append(made)
        self.sources.append(source)
        self.residuals.append(residual)
        self.biases.append(rng.standard_normal(out).astype(np.float32) if bias else None)
        self.activations.append(activation)
        self.modes.append(mode)
        return len(self.inputs) + len(self.dense) - 1

    def chain(self) -> _native.Chain:
        zeros = [0.0] * len(self.dense)
        return _native.Chain(
            self.inputs, self.layers, self.sources, self.residuals, self.biases,
            self.activations, zeros, zeros, self.modes, self.outputs,
        )  # fmt: skip

    def expected(self, inputs: list[Floats]) -> NDArray[np.float64]:
        return self.all_expected(inputs)[-1]

    def all_expected(self, inputs: list[Floats]) -> list[NDArray[np.float64]]:
        """Every slot."""
        slots = [x.astype(np.float64) for x in inputs]
        for layer, weight in enumerate(self.dense):
            x = slots[self.sources[layer]]
            t = normalized(x, *weight) if isinstance(weight, tuple) else x @ weight.T
            bias, residual = self.biases[layer], self.residuals[layer]
            t = t if bias is None else t + bias
            mode, other = self.modes[layer], 0 if residual < 0 else slots[residual]
            t = t + other if mode == 0 else t
            t = np.maximum(t, 0) if self.activations[layer] == "relu" else t
            slots.append([t, t + other, t * other][mode])
        return slots


def normalized(
    x: NDArray[np.float64], scale: Floats, epsilon: float, centered: bool
) -> NDArray[np.float64]:
    x = x - x.mean(-1, keepdims=True) if centered else x
    y: NDArray[np.float64] = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + epsilon) * scale
    return y


def run(chain: _native.Chain, inputs: list[Floats], threads: int = 1, form: str = "auto") -> Floats:
    """The last result, as `run_all`."""
    return run_all(chain, [chain.out_features], inputs, threads, form)[0]


def run_all(
    chain: _native.Chain,
    widths: list[int],
    inputs: list[Floats],
    threads: int = 1,
    form: str = "auto",
) -> list[Floats]:
    """The results, each written between guards that must stay."""
    batch = len(inputs[0])
    memories = [np.full(batch * width + 40, np.nan, np.float32) for width in widths]
    outputs = [
        memory[17 : 17 + batch * width].reshape(batch, width)
        for memory, width in zip(memories, widths, strict=True)
    ]
    chain.run(inputs, outputs, threads=threads, form=form)
    for memory in memories:
        assert np.isnan(memory[:17]).all() and np.isnan(memory[-23:]).all()
    return outputs


def sample(network: Network, batch: int) -> list[Floats]:
    rng = np.random.default_rng(batch)
    return [rng.standard_normal((batch, n)).astype(np.float32) for n in network.inputs]

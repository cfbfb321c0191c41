"""The layers of a chain: products and norms, seen the same way, and the node they make together."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from nfcompile.ir.linear import constant
from nfcompile.ir.norms import Norm, match_norm
from nfcompile.ir.schemas import CHAIN, CONV_CHAIN, CONVS, DOMAIN, MATMULS

__all__ = ["ChainLayer", "NormLayer", "ProductLayer", "chain_node", "find_chain_layers"]

_CONVOLUTIONS = {schema.name for schema in CONVS.values()}
_KINDS = {schema.name: kind for of in (MATMULS, CONVS) for kind, schema in of.items()}
_SLOTS = {
    schema.name: [item.name for item in schema.inputs]
    for of in (MATMULS, CONVS)
    for schema in of.values()
}
_WINDOW = {"kernel_shape": "kernel_shapes", "strides": "strides", "dilations": "dilations",
           "pads": "pads"}  # fmt: skip
_NO_EPILOGUE = {
    "row_strides": 0,
    "col_strides": 0,
    "residual_modes": 0,
    "activation_alphas": 0.0,
    "activation_betas": 0.0,
}


@dataclass(frozen=True)
class ProductLayer:
    """One product or convolution of our domain.

    Attributes:
        node: Its node.
    """

    node: ir.Node

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """All its nodes, the last to run first."""
        return (self.node,)

    @property
    def source(self) -> ir.Value:
        """What it multiplies."""
        value = self.input("X")
        assert value is not None
        return value

    @property
    def residual(self) -> ir.Value | None:
        """What it adds, or multiplies with."""
        return self.input("residual")

    @property
    def bias(self) -> ir.Value | None:
        """One value per output, or None."""
        return self.input("bias")

    @property
    def weights(self) -> list[ir.Value]:
        """The components of the weight."""
        given = [self.input(name) for name in _SLOTS[self.node.op_type][1:4]]
        return [value for value in given if value is not None]

    @property
    def kind(self) -> str:
        """The name of its encoding."""
        return _KINDS[self.node.op_type]

    @property
    def activation(self) -> str:
        """The name of its activation."""
        return self.node.attributes.get_string("activation", "none")

    @property
    def convolves(self) -> bool:
        """Whether it is a convolution."""
        return self.node.op_type in _CONVOLUTIONS

    @property
    def precision(self) -> ir.DataType | None:
        """The type of the stored values."""
        values = self.input("values")
        return None if values is None else values.dtype

    def input(self, name: str) -> ir.Value | None:
        """The input of that name in the schema; None where it is absent."""
        slot = _SLOTS[self.node.op_type].index(name)
        return self.node.inputs[slot] if slot < len(self.node.inputs) else None

    def entries(self) -> dict[str, Any]:
        """Its entries of a chain's lists."""
        attributes = self.node.attributes
        return {
            "in_features": attributes.get_int("in_features"),
            "out_features": self._out_features(),
            "row_strides": attributes.get_int("row_stride", 0),
            "col_strides": attributes.get_int("col_stride", 0),
            "residual_modes": attributes.get_int("residual_mode", 0),
            "activation_alphas": attributes.get_float("activation_alpha", 0.0),
            "activation_betas": attributes.get_float("activation_beta", 0.0),
            **({} if self.convolves else {"epsilons": 0.0}),
        }

    def windows(self) -> dict[str, Sequence[int]]:
        """Several entries each, of a convolution."""
        if not self.convolves:
            return {}
        return {
            listed: self.node.attributes.get_ints(name) or () for name, listed in _WINDOW.items()
        }

    def _out_features(self) -> int:
        """Rows of the weight, from the shapes of its components."""
        given = self.node.attributes.get_int("out_features", 0)
        if given:
            return given
        values, indptr = self.input("values"), self.input("indptr")
        assert values is not None and values.shape is not None
        assert indptr is not None and indptr.shape is not None
        rows = int(indptr.shape.numpy()[0]) - 1
        return rows * (int(values.shape.numpy()[1]) if len(values.shape) == 3 else 1)


@dataclass(frozen=True)
class NormLayer:
    """One norm, as of a product without residual and activation.

    Attributes:
        norm: Its nodes and constants.
    """

    norm: Norm
    residual: None = None
    activation: str = "none"

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """All its nodes, the last to run first."""
        return self.norm.nodes

    @property
    def source(self) -> ir.Value:
        """What it normalizes."""
        return self.norm.x

    @property
    def bias(self) -> ir.Value | None:
        """One value per feature, or None."""
        return self.norm.bias

    @property
    def weights(self) -> list[ir.Value]:
        """Its scale."""
        return [self.norm.scale]

    @property
    def kind(self) -> str:
        """Its name among encodings."""
        return self.norm.kind

    def entries(self) -> dict[str, Any]:
        """Its entries of a chain's lists."""
        scale = constant(self.norm.scale)
        assert scale is not None
        sizes = {"in_features": scale.size, "out_features": scale.size}
        return {**sizes, **_NO_EPILOGUE, "epsilons": self.norm.epsilon}

    def windows(self) -> dict[str, Sequence[int]]:
        """None."""
        return {}


ChainLayer = ProductLayer | NormLayer


def find_chain_layers(nodes: Collection[ir.Node]) -> Iterator[ChainLayer]:
    """What can be part of chains, in the order of the nodes."""
    for node in nodes:
        if node.domain == DOMAIN:
            if node.op_type in _KINDS:
                yield ProductLayer(node)
        elif norm := match_norm(node):
            yield NormLayer(norm)


def chain_node(layers: Sequence[ChainLayer], outputs: Sequence[ir.Value]) -> ir.Node:
    """The operator for layers in topological order, which gives those of their results."""
    made = [layer.nodes[0].outputs[0] for layer in layers]
    read = [value for layer in layers for value in (layer.source, layer.residual)]
    given = dict.fromkeys(value for value in read if value is not None and value not in made)
    builder = _Builder([*given, *made])
    for layer in layers:
        builder.add(layer)
    convolves = isinstance(layers[0], ProductLayer) and layers[0].convolves
    kind = CONV_CHAIN if convolves else CHAIN
    slots = {} if convolves else {"outputs": [builder.slots.index(value) for value in outputs]}
    return ir.node(
        kind.name,
        [*given, *builder.constants],
        {"inputs": len(given), **builder.attributes(), **slots},
        domain=DOMAIN,
        num_outputs=len(outputs),
        name=f"{layers[0].nodes[0].name}..{layers[-1].nodes[0].name}",
    )


@dataclass
class _Builder:
    """Collects the lists of a chain's attributes, and its constants."""

    slots: list[ir.Value]
    constants: list[ir.Value] = field(default_factory=list)
    encodings: list[str] = field(default_factory=list)
    activations: list[str] = field(default_factory=list)
    lists: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, layer: ChainLayer) -> None:
        self.constants += layer.weights
        if layer.bias is not None:
            self.constants.append(layer.bias)
        self.encodings.append(layer.kind)
        self.activations.append(layer.activation)
        residual = layer.residual
        entries = {
            **layer.entries(),
            "has_bias": int(layer.bias is not None),
            "sources": self.slots.index(layer.source),
            "residuals": -1 if residual is None else self.slots.index(residual),
        }
        for name, entry in entries.items():
            self.lists.setdefault(name, []).append(entry)
        for name, window in layer.windows().items():
            self.lists.setdefault(name, []).extend(window)

    def attributes(self) -> dict[str, Any]:
        return {
            "encodings": ",".join(self.encodings),
            "activations": ",".join(self.activations),
            **self.lists,
        }

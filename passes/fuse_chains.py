"""Fuses layers that feed each other into one operator.

    M2(M1(X))                          ->  SparseChain(X; M1, M2)
    M3(M1(X); residual=M2(X))          ->  SparseChain(X; M1, M2, M3)
    M2(M1(X); residual=R)              ->  SparseChain(X, R; M1, M2)
    M1(X), M2(X)                       ->  Y1, Y2 = SparseChain(X; M1, M2)
    M2(LayerNormalization(M1(X)))      ->  SparseChain(X; M1, norm, M2)        however it is spelled
    C2(C1(X))                          ->  SparseConvChain(X; C1, C2)          convolutions

A chain of products runs a few rows of the batch at a time through all its layers, so that
activations stay in the cache, and transposes none of them in between: each product alone brings its
input into the kernels' order and its output back. What others read of its inner values are further
results, but for convolutions, whose chains give one. It runs after epilogues are fused, which
leaves nothing between the products of a chain. Of convolutions, a few images at a time go through
all layers; so a chain of them ends where the images become larger than any of its results, since
fewer of them would fit the cache.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from nfcompile.ir.chain_layers import (
    ChainLayer,
    NormLayer,
    ProductLayer,
    chain_node,
    find_chain_layers,
)
from nfcompile.ir.linear import constant
from nfcompile.ir.pass_base import Pass
from nfcompile.ir.region import Dependencies, Region

__all__ = ["FuseChainsPass"]


@dataclass(frozen=True)
class FuseChainsPass(Pass):
    """Makes each chain as long as it can be.

    Attributes:
        max_layers: Most layers of one chain.
    """

    name: ClassVar[str] = "fuse-chains"
    max_layers: int = 1024

    def run(self, model: ir.Model) -> int:
        """Fuses in the main graph and in every subgraph."""
        return sum(self._fuse(model, graph) for graph in (model.graph, *model.graph.subgraphs()))

    def _fuse(self, model: ir.Model, graph: ir.Graph) -> int:
        layers = list(find_chain_layers(list(graph)))
        if not layers:
            return 0
        search = _Search(layers, graph, self.max_layers)
        count = 0
        for last in reversed(layers):
            if not isinstance(last, ProductLayer) or last in search.taken:
                continue
            if reason := _apart(last):
                self.remark(model, "missed", str(last.node.name), f"stays apart: {reason}")
                continue
            found = search.members(last)
            if len(found) < 2:
                continue
            chain = [layer for layer in layers if layer in found]
            names = ", ".join(str(layer.nodes[0].name) for layer in chain if layer is not last)
            self.remark(model, "applied", str(last.node.name), f"runs as one operator with {names}")
            search.replace(chain)
            count += 1
        if count:
            graph.sort()
        return count


class _Search:
    """The layers of one graph, and which of them can run together."""

    def __init__(self, layers: list[ChainLayer], graph: ir.Graph, most: int) -> None:
        self.taken: set[ChainLayer] = set()
        self._owners = {node: layer for layer in layers for node in layer.nodes}
        self._dependencies = Dependencies(graph)
        self._most = most

    def members(self, last: ProductLayer) -> set[ChainLayer]:
        """`last` and what can run with it.

        What does not join may do so once there are other members.
        """
        members: dict[ChainLayer, None] = {}
        region = Region()
        waiting: dict[ChainLayer, None] = {last: None}
        while waiting:
            apart: dict[ChainLayer, None] = {}
            grown = False
            while waiting and len(members) < self._most:
                layer = next(iter(waiting))
                del waiting[layer]
                both = region | self._dependencies.region(layer.nodes)
                if layer is not last and not self._joins(layer, members, last, both):
                    apart[layer] = None
                    continue
                members[layer] = None
                region, grown = both, True
                waiting |= dict.fromkeys(
                    near for near in self._neighbours(layer) if near not in members
                )
            waiting = apart if grown and len(members) < self._most else {}
        return set(members)

    def replace(self, chain: list[ChainLayer]) -> None:
        """Makes them one operator; what nothing reads is a result, too, as the last layer is."""
        nodes = [node for layer in chain for node in layer.nodes]
        inside = set(nodes)
        results = [layer.nodes[0].outputs[0] for layer in chain]
        outputs = [
            value
            for value in results
            if value.is_graph_output()
            or not value.uses()
            or any(use.node not in inside for use in value.uses())
        ]
        self._dependencies.replace(nodes, chain_node(chain, outputs), outputs)
        self.taken.update(chain)

    def _neighbours(self, member: ChainLayer) -> Iterator[ChainLayer]:
        """Layers whose result a layer reads, or that read what it reads or gives."""
        near = [value.producer() for value in _reads(member)]
        for value in (member.source, member.nodes[0].outputs[0]):
            near += [use.node for use in value.uses()]
        for node in near:
            layer = None if node is None else self._owners.get(node)
            if layer is not None and layer not in self.taken:
                yield layer

    def _joins(
        self, layer: ChainLayer, members: Collection[ChainLayer], last: ProductLayer, both: Region
    ) -> bool:
        """Whether a layer can be part of the chain of `members`; with it they are `both`."""
        if isinstance(layer, NormLayer):
            return not last.convolves and both.is_closed()
        if _apart(layer) or layer.precision != last.precision or layer.convolves != last.convolves:
            return False
        if not layer.convolves:
            return both.is_closed()
        value = layer.node.outputs[0]
        inside = bool(value.uses()) and all(
            self._owners.get(use.node) in members for use in value.uses()
        )
        return inside and not value.is_graph_output() and _fits(layer, members, last)


def _reads(layer: ChainLayer) -> list[ir.Value]:
    return [value for value in (layer.source, layer.residual) if value is not None]


def _apart(layer: ProductLayer) -> str:
    """Why a product cannot be part of a chain; empty if it can."""
    bias = layer.bias
    if bias is not None and constant(bias) is None:
        return f"its bias {bias.name} is computed at run time"
    return ""


def _fits(layer: ProductLayer, members: Iterable[ChainLayer], last: ProductLayer) -> bool:
    """Whether as many images of a result fit the cache as of those in the chain."""
    size = _size(layer.node)
    if size is None or size == _size(last.node):
        return size is not None
    elements = _elements(layer.node)
    return elements is not None and elements <= max(_elements(of.nodes[0]) or 0 for of in members)


def _elements(node: ir.Node) -> int | None:
    """Elements of one image of a result; None where they are not known."""
    shape = node.outputs[0].shape
    dims = () if shape is None else shape.dims[1:]
    sizes = [dim for dim in dims if isinstance(dim, int)]
    return math.prod(sizes) if len(sizes) == len(dims) == 3 else None


def _size(node: ir.Node) -> tuple[object, ...] | None:
    """Height and width of a result; None where they are not known."""
    shape = node.outputs[0].shape
    if shape is None or any(dim == ir.SymbolicDim(None) for dim in shape.dims[2:]):
        return None
    return tuple(shape.dims[2:])

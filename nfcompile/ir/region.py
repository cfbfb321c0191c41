"""Several nodes of a graph that become one.

That is possible where no path leaves them and comes back. Sets of nodes are integers with a bit for
each node, so that a question about paths takes a few operations, however large the graph is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from nfcompile.ir.bodies import captured

__all__ = ["Dependencies", "Region"]


@dataclass(frozen=True)
class Region:
    """Nodes, what they depend on, and what depends on them, as sets.

    Attributes:
        nodes: The nodes.
        before: What comes before one of them.
        after: What comes after one of them.
    """

    nodes: int = 0
    before: int = 0
    after: int = 0

    def __or__(self, other: "Region") -> "Region":
        """Both together."""
        return Region(
            self.nodes | other.nodes, self.before | other.before, self.after | other.after
        )

    def is_closed(self) -> bool:
        """Whether no path leaves the nodes and comes back."""
        return not self.before & self.after & ~self.nodes


class Dependencies:
    """Which nodes of a graph depend on which, what bodies read from around them included."""

    def __init__(self, graph: ir.Graph) -> None:
        """Looks at all nodes, which must be in topological order."""
        self._graph = graph
        self._bits = {node: 1 << index for index, node in enumerate(graph)}
        self._before: dict[ir.Node, int] = {}
        self._after = dict.fromkeys(self._bits, 0)
        nodes = list(self._bits)
        made_from: list[list[ir.Node]] = []
        for node in nodes:
            values = [value for value in (*node.inputs, *captured(node)) if value is not None]
            read = [value.producer() for value in values]
            made_from.append([of for of in read if of is not None and of in self._bits])
            self._before[node] = 0
            for of in made_from[-1]:
                self._before[node] |= self._before[of] | self._bits[of]
        for node, read_nodes in zip(reversed(nodes), reversed(made_from), strict=True):
            for of in read_nodes:
                self._after[of] |= self._after[node] | self._bits[node]

    def region(self, nodes: Iterable[ir.Node]) -> Region:
        """The region of some nodes of the graph."""
        found = Region()
        for node in nodes:
            found |= Region(self._bits[node], self._before[node], self._after[node])
        return found

    def replace(self, nodes: Sequence[ir.Node], new: ir.Node, outputs: Sequence[ir.Value]) -> None:
        """Puts `new` in the place of `nodes`, whose results `outputs` it gives.

        Its outputs take over names, types, shapes and all uses. The graph is to be sorted when all
        is replaced: what reads a result may stand before the new node.

        Raises:
            AssertionError: If a path leaves the nodes and comes back.
        """
        region = self.region(nodes)
        assert region.is_closed(), "a path leaves the nodes and comes back"
        self._graph.insert_before(max(nodes, key=self._bits.__getitem__), new)
        for old, output in zip(outputs, new.outputs, strict=True):
            output.type, output.shape = old.type, old.shape
            name, old.name = old.name, None
            output.name = name
            old.replace_all_uses_with(output, replace_graph_outputs=True)
        self._graph.remove(list(nodes), safe=True)
        self._merge(region, nodes, new)

    def _merge(self, region: Region, nodes: Iterable[ir.Node], new: ir.Node) -> None:
        before, after = region.before & ~region.nodes, region.after & ~region.nodes
        for node in nodes:
            del self._bits[node], self._before[node], self._after[node]
        for node, bits in self._bits.items():
            if bits & before:
                self._after[node] |= after | region.nodes
            elif bits & after:
                self._before[node] |= before | region.nodes
        self._bits[new], self._before[new], self._after[new] = region.nodes, before, after

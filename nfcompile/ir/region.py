"""Several nodes of a graph that become one.

That is possible where no path leaves them and comes back. What reads one of their results may then
stand between them in the list of nodes, and has to come after the new one.
"""

from collections.abc import Collection, Sequence

import onnx_ir as ir

__all__ = ["GraphOrder"]


class GraphOrder:
    """Where each node of a graph stands; to be made anew where nodes were moved or replaced.

    Nodes of bodies count as the node that has the body.
    """

    def __init__(self, graph: ir.Graph) -> None:
        """Looks at all nodes, those of bodies included."""
        self._graph = graph
        self._index = {node: index for index, node in enumerate(graph)}
        self._holder = {node: node for node in self._index}
        for node in self._index:
            for attribute in node.attributes.values():
                bodies: Sequence[ir.Graph] = ()
                if attribute.type == ir.AttributeType.GRAPH:
                    bodies = [attribute.as_graph()]
                elif attribute.type == ir.AttributeType.GRAPHS:
                    bodies = list(attribute.as_graphs())
                for body in bodies:
                    for inner in ir.traversal.RecursiveGraphIterator(body):
                        self._holder[inner] = node

    def later_readers(self, nodes: Collection[ir.Node]) -> set[ir.Node] | None:
        """What stands between `nodes` and depends on one of them; None if one depends on that."""
        inside = set(nodes)
        last = max(self._index[node] for node in inside)
        found: set[ir.Node] = set()
        waiting = list(inside)
        while waiting:
            for value in waiting.pop().outputs:
                for use in value.uses():
                    reader = self._holder[use.node]
                    if reader in inside and use.node is reader:
                        if value.producer() not in inside:
                            return None
                    elif self._index[reader] < last and reader not in found:
                        found.add(reader)
                        waiting.append(reader)
        return found

    def replace(
        self, nodes: Collection[ir.Node], new: ir.Node, outputs: Sequence[ir.Value]
    ) -> "GraphOrder":
        """Puts `new` in the place of `nodes`, whose results `outputs` it gives.

        Its outputs take over names, types, shapes and all uses; what reads them comes after it.

        Returns:
            The order as it then is.

        Raises:
            AssertionError: If `later_readers` has none to give.
        """
        later = self.later_readers(nodes)
        assert later is not None, "a path leaves the nodes and comes back"
        ordered = sorted(nodes, key=self._index.__getitem__)
        self._graph.insert_before(ordered[-1], new)
        for old, output in zip(outputs, new.outputs, strict=True):
            output.type, output.shape = old.type, old.shape
            name, old.name = old.name, None
            output.name = name
            old.replace_all_uses_with(output, replace_graph_outputs=True)
        self._graph.remove(list(reversed(ordered)), safe=True)
        behind = sorted(later, key=self._index.__getitem__)
        self._graph.remove(behind)
        self._graph.insert_after(new, behind)
        return GraphOrder(self._graph)

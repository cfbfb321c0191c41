"""Cuts a model at operators that no runtime here knows, so that the rest can be run and compared.

Operators that draw random numbers are cut at as well: no two runs of them agree.

    h -> Mystery -> u -> Relu -> y     becomes     h -> cut.u.operand0,  cut.u -> Relu -> y

Each result of such a node becomes an input of the model (a plug), each of its operands an output
(a tap). Both are named after the result, which compiling leaves as it is, so the model before and
after is cut in the same places, and a difference anywhere still shows at the next output. A
control-flow node with such an operator in a body is cut as a whole.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes import common

from nfcompile.ir.bodies import bodies, captured
from nfcompile.ir.identities import eliminate_identities
from nfcompile.ir.inlining import inline_functions
from nfcompile.ir.random_operators import is_random
from nfcompile.ir.schemas import DOMAIN
from nfcompile.ir.shape_inference import infer_shapes

__all__ = ["Cut", "Plug", "cut_foreign", "foreign_nodes"]

_KNOWN_DOMAINS = {
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "ai.onnx.training",
    "com.microsoft",
    "com.microsoft.experimental",
    "com.microsoft.nchwc",
    "com.ms.internal.nhwc",
    DOMAIN,
}
"""Domains that ONNX Runtime has operators for, and ours."""

_PREFIX = "cut."


@dataclass(frozen=True)
class Plug:
    """An input that stands for a result of a foreign operator.

    Attributes:
        name: Its name among the inputs of the cut model.
        operator: What gave the result, in words.
        assumed: Whether type and shape are guessed, as the model does not tell them.
    """

    name: str
    operator: str
    assumed: bool


@dataclass(frozen=True)
class Cut:
    """A model without its foreign operators.

    Attributes:
        model: The rest.
        plugs: The inputs that it has for them.
        notes: What cannot be compared for it, in words.
    """

    model: ir.Model
    plugs: tuple[Plug, ...]
    notes: tuple[str, ...]

    def shared(self, other: "Cut") -> set[str]:
        """Names of outputs to compare: taps may miss in one, outputs of the model may not."""
        mine, others = ({str(v.name) for v in cut.model.graph.outputs} for cut in (self, other))
        taps = {name for name in mine if name.startswith(_PREFIX)}
        return mine - (taps - others)


def foreign_nodes(model: ir.Model, *, all_known: bool = False) -> list[ir.Node]:
    """Nodes of the main graph with an operator, inside or themselves, to cut at.

    Args:
        model: Any model.
        all_known: Whether there are libraries for all operators: then only random ones are cut at.
    """
    return [node for node in model.graph if any(_foreign_in(model, node, all_known))]


def cut_foreign(
    model: ir.Model,
    drop: Collection[str] = (),
    like: ir.Model | None = None,
    *,
    all_known: bool = False,
) -> Cut:
    """A copy of `model` without its foreign nodes, with inputs and outputs that stand for them.

    A result whose type and shape the model does not tell is taken to be like the first operand.

    Args:
        model: Any model; not changed, its weights are shared with the copy.
        drop: Plugs to leave out, with everything that follows from them.
        like: The same model cut before; inputs take their types from it.
        all_known: Whether there are libraries for all operators: then only random ones are cut at.
    """
    copy = model.clone()
    graph = copy.graph
    inline_functions(copy)
    eliminate_identities(copy)  # as a pipeline may: it renames results
    common.RemoveUnusedNodesPass()(copy)
    foreign = foreign_nodes(copy, all_known=all_known)
    types = {} if like is None else {str(item.name): item for item in like.graph.inputs}
    plugs: dict[ir.Value, Plug] = {}
    notes = []
    for node in foreign:
        words = ", ".join(dict.fromkeys(_foreign_in(copy, node, all_known)))
        if any(bodies(node)):
            notes.append(f"what is inside {node.op_type} with {words} could not be compared")
        infer_shapes(copy)  # up to this node; past it once its results are known
        _tap_operands(graph, node)
        for value in node.outputs:
            if value.uses() or value.is_graph_output():
                plug, assumed = _plug(node, value, types)
                graph.inputs.append(plug)
                plugs[plug] = Plug(str(plug.name), words, assumed)
        _remove(graph, node)
    dropped = [plug for plug, facts in plugs.items() if facts.name in drop]
    for value in dropped:
        notes.append(f"what follows {plugs.pop(value).operator} could not be compared")
    _drop(copy, dropped)
    return Cut(copy, tuple(plugs.values()), tuple(dict.fromkeys(notes)))


def _foreign_in(model: ir.Model, node: ir.Node, all_known: bool) -> Iterator[str]:
    """The foreign operators of a node, its bodies and the functions that it calls, in words."""
    pending, called = [node], set()
    while pending:
        item = pending.pop()
        function = model.functions.get(item.op_identifier())
        if function is not None and function not in called:
            called.add(function)
            pending.extend(function.all_nodes())
        elif function is None and item.domain not in _KNOWN_DOMAINS and not all_known:
            yield f"operator {item.op_type} of domain {item.domain}"
        elif is_random(item):
            yield f"random operator {item.op_type}"
        for graph in bodies(item):
            pending.extend(graph)


def _tap_operands(graph: ir.Graph, node: ir.Node) -> None:
    """Makes what `node` reads outputs, but for constants and inputs."""
    name = next((str(item.name) for item in node.outputs if item.name), str(node.name))
    operands = {f"operand{index}": item for index, item in enumerate(node.inputs)}
    operands |= {f"captured.{item.name}": item for item in captured(node)}
    for key, value in operands.items():
        if value is None or value.producer() is None:
            continue
        tap = ir.node("Identity", [value])
        tap.outputs[0].name = f"{_PREFIX}{name}.{key}"
        tap.outputs[0].type, tap.outputs[0].shape = value.type, value.shape
        graph.append(tap)
        graph.outputs.append(tap.outputs[0])


def _plug(node: ir.Node, value: ir.Value, types: dict[str, ir.Value]) -> tuple[ir.Value, bool]:
    """A new input that takes the place of `value`, and whether its shape is a guess."""
    name = f"{_PREFIX}{value.name}"
    assumed = value.shape is None or value.type is None
    first = next((item for item in node.inputs if item is not None), value)
    known = types.get(name, first if assumed else value)
    plug = ir.Value(name=name, type=known.type, shape=known.shape)
    value.replace_all_uses_with(plug, replace_graph_outputs=True)
    return plug, assumed


def _remove(graph: ir.Graph, node: ir.Node) -> None:
    """Removes `node`; its bodies no longer count as users of anything outside."""
    inside = {item for body in bodies(node) for item in body.all_nodes()}
    for value in captured(node):
        for user, index in list(value.uses()):
            if user in inside:
                user.replace_input_with(index, None)
    graph.remove(node, safe=True)


def _drop(model: ir.Model, plugs: list[ir.Value]) -> None:
    """Removes inputs with everything that follows from them."""
    if not plugs:
        return
    graph = model.graph
    tainted = set(plugs)
    for node in graph:
        if not tainted.isdisjoint([*node.inputs, *captured(node)]):
            tainted.update(node.outputs)
    kept = [item for item in graph.outputs if item not in tainted]
    graph.outputs.clear()
    graph.outputs.extend(kept)
    common.RemoveUnusedNodesPass()(model)
    for plug in plugs:
        graph.inputs.remove(plug)

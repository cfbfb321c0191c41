"""New constants never take a name that means something else, wherever that is."""

import numpy as np
import onnx_ir as ir
import pytest
from support import model

from nfcompile.ir.rewrite import add_constant, unique_name

ONE = np.ones(1, np.float32)


def nested() -> ir.Model:
    """A model with a name of every kind, in the main graph and in a body of a body."""
    inner = (
        "If(c) <then_branch = ti () => (float[1] inner_out) <float[1] inner_init = {2.0}>"
        " { inner_node = Add(v, inner_init)\n inner_out = Identity(inner_node) },"
        " else_branch = ei () => (float[1] other) { other = Identity(v) }>"
    )
    return model(
        "agraph (bool c, float[1] v) => (float[1] out) <float[1] init = {1.0}>"
        " { node = Add(v, init)\n unread = Neg(v)\n out = If(c) <"
        f"then_branch = t () => (float[1] p) {{ p = {inner} }},"
        " else_branch = e () => (float[1] q) { q = Identity(node) }> }"
    )


@pytest.mark.parametrize(
    "name",
    ["v", "init", "node", "unread", "out", "p", "q", "inner_init", "inner_node", "inner_out"],
)
def test_a_taken_name_gets_a_number(name: str) -> None:
    source = nested()
    assert add_constant(source.graph, name, ONE).name == f"{name}_1"
    assert add_constant(source.graph, name, ONE).name == f"{name}_2"


def test_a_free_name_is_kept_by_the_constant_and_its_tensor() -> None:
    source = nested()
    value = add_constant(source.graph, "fresh", ONE)
    assert value.name == value.const_value.name == "fresh"
    assert source.graph.initializers["fresh"] is value


def test_a_name_that_a_body_reads_from_around_it_is_taken() -> None:
    body = nested().graph[2].attributes["else_branch"].as_graph()
    assert unique_name(body, "node") == "node_1"
    assert unique_name(body, "init") == "init"


def test_a_body_can_ask_for_a_name_that_is_new_in_the_whole_model() -> None:
    source = nested()
    body = source.graph[2].attributes["else_branch"].as_graph()
    value = add_constant(body, "inner_init", ONE, scope=source.graph)
    assert value.name == "inner_init_1"
    assert body.initializers["inner_init_1"] is value


def test_a_name_made_free_can_be_taken_again() -> None:
    source = nested()
    source.graph.initializers["init"].name = "renamed"
    assert unique_name(source.graph, "init") == "init"
    assert unique_name(source.graph, "renamed") == "renamed_1"

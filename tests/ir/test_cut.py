"""Models with operators that no one here knows: what is left of them to compare."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from support import model_proto, op_types, said, unstructured

import nfcompile
import nfcompile.compiler
from nfcompile.compiler import Compiled
from nfcompile.errors import UnsupportedModelError, VerificationError
from nfcompile.ir.cut import cut_foreign, foreign_nodes

RNG = np.random.default_rng(0)
N = 256
SPARSE = unstructured(RNG, (N, N), 0.05)
PASSES = "inline,infer-shapes,encode-weights{force=csr},legalize-ort-cpu,remove-unused"
X, Y = f"float[b,{N}] x", f"float[b,{N}] y"

BRANCH = (
    f"agraph ({X}, bool c) => ({Y}) {{ h = MatMul(x, w)\n"
    f" u = If(c) <then_branch = t () => (float[b,{N}] p) {{ p = my.domain.Mystery(h) }},"
    f" else_branch = e () => (float[b,{N}] q) {{ q = Neg(h) }}>\n"
    " v = Relu(u)\n y = MatMul(v, other) }"
)


def proto_of(text: str, **constants: Any) -> onnx.ModelProto:
    proto = model_proto(text, **constants)
    proto.opset_import.append(onnx.helper.make_opsetid("my.domain", 1))
    return proto


def names(values: Any) -> set[str]:
    return {value.name for value in values}


def compared(compiled: Compiled) -> set[str]:
    return {item.name for item in compiled.report.outputs}


def test_inputs_and_outputs_are_named_after_the_operators_result() -> None:
    text = f"agraph ({X}) => ({Y}) {{ h = Neg(x)\n u = my.domain.Mystery(h)\n y = Relu(u) }}"
    cut = cut_foreign(ir.from_proto(proto_of(text)))
    assert names(cut.model.graph.inputs) == {"x", "cut.u"}
    assert names(cut.model.graph.outputs) == {"y", "cut.u.operand0"}
    assert op_types(cut.model) == ["Neg", "Relu", "Identity"]


def test_an_operator_without_inputs_is_cut_and_what_follows_is_left_out() -> None:
    text = (
        f"agraph ({X}) => ({Y}, float[b,{N}] z)"
        " { z = MatMul(x, w)\n m = my.domain.Noise()\n y = Add(z, m) }"
    )
    compiled = nfcompile.compile(proto_of(text, w=SPARSE), passes=PASSES)
    assert compared(compiled) == {"z"}
    assert compiled.decisions[0].encoding == "csr"
    assert any(
        "what follows operator Noise of domain my.domain could not be compared" in line
        for line in said(compiled.model, "note")
    )


def test_an_operator_whose_result_is_unused_leaves_the_rest_compared() -> None:
    text = f"agraph ({X}) => ({Y}) {{ y = MatMul(x, w)\n u = my.domain.Mystery(y) }}"
    compiled = nfcompile.compile(proto_of(text, w=SPARSE), passes=PASSES)
    assert compared(compiled) == {"y"}
    assert op_types(compiled.model) == ["CsrMatMul"]


def test_an_operator_that_keeps_no_shape_loses_only_what_follows_it() -> None:
    text = (
        f"agraph ({X}) => (float[b,1] y) {{ h = MatMul(x, w)\n"
        " u = my.domain.Narrow(h)\n y = MatMul(u, v) }"
    )
    thin = np.ones((7, 1), np.float32)
    compiled = nfcompile.compile(proto_of(text, w=SPARSE, v=thin), passes=PASSES)
    assert compared(compiled) == {"cut.u.operand0"}
    assert any("what follows operator Narrow" in line for line in said(compiled.model, "note"))


def test_a_model_of_which_nothing_can_be_compared_asks_for_the_library() -> None:
    text = f"agraph ({X}) => (float[b,1] y) {{ u = my.domain.Narrow(x)\n y = MatMul(u, v) }}"
    proto = proto_of(text, v=np.ones((7, 1), np.float32))
    with pytest.raises(UnsupportedModelError, match=r"operator Narrow .*: give .*--op-library"):
        nfcompile.compile(proto)


def test_a_branch_with_an_unknown_operator_is_cut_as_a_whole(tmp_path: Path) -> None:
    proto = proto_of(BRANCH, w=SPARSE, other=SPARSE * 2)
    assert [node.op_type for node in foreign_nodes(ir.from_proto(proto))] == ["If"]
    compiled = nfcompile.compile(proto, passes=PASSES)
    assert compared(compiled) == {"y", "cut.u.captured.h"}
    assert any("what is inside If with" in line for line in said(compiled.model, "note"))
    compiled.save(tmp_path / "out.onnx")
    kept = [node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node]
    assert kept == ["CsrMatMul", "If", "Relu", "CsrMatMul"]


def test_a_difference_before_a_branch_that_is_cut_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(model: ir.Model, *args: Any, **kwargs: Any) -> None:
        model.graph.node(0).replace_input_with(1, model.graph.initializers["other"])

    monkeypatch.setattr(nfcompile.compiler, "run_pipeline", spoil)
    with pytest.raises(VerificationError, match=r"output cut\.u\.captured\.h"):
        nfcompile.compile(proto_of(BRANCH, w=SPARSE, other=SPARSE * 2))


def test_unknown_operators_inside_functions_are_cut() -> None:
    proto = proto_of(f"agraph ({X}) => ({Y}) {{ h = MatMul(x, w)\n y = local.Twice(h) }}", w=SPARSE)
    proto.opset_import.append(onnx.helper.make_opsetid("local", 1))
    node = onnx.helper.make_node("Mystery", ["a"], ["b"], domain="my.domain")
    imports = [onnx.helper.make_opsetid("my.domain", 1)]
    proto.functions.append(
        onnx.helper.make_function("local", "Twice", ["a"], ["b"], [node], imports)
    )
    compiled = nfcompile.compile(proto, passes=PASSES)
    assert op_types(compiled.model) == ["CsrMatMul", "Mystery"]
    assert any(name.endswith(".operand0") for name in compared(compiled))


def test_outputs_that_are_missing_count_and_cuts_that_are_missing_do_not() -> None:
    text = f"agraph ({X}) => ({Y}) {{ h = Neg(x)\n u = my.domain.Mystery(h)\n y = Relu(u) }}"
    whole = cut_foreign(ir.from_proto(proto_of(text)))
    bare = cut_foreign(ir.from_proto(model_proto(f"agraph ({X}) => ({Y}) {{ y = Relu(x) }}")))
    other = f"agraph ({X}) => (float[b,{N}] z) {{ z = Relu(x) }}"
    assert whole.shared(bare) == {"y"}
    assert whole.shared(cut_foreign(ir.from_proto(model_proto(other)))) == {"y"}
    assert whole.shared(whole) == {"y", "cut.u.operand0"}

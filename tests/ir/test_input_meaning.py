"""What inputs hold is read off how the graph uses them."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from support import model, model_proto

from nfcompile.ir.input_meaning import Meaning, input_meanings

TABLE = np.zeros((40, 8), np.float32)


def meaning_of(text: str, **constants: np.ndarray) -> Meaning | None:
    return input_meanings(model(text, **constants)).get("i")


@pytest.mark.parametrize(
    ("body", "limits"),
    [
        ("y = Gather(table, i)", (40,)),
        ("j = Cast<to=7>(i)\n k = Unsqueeze(j, zero)\n y = Gather(table, k)", (40,)),
        ("j = Add(i, two)\n y = Gather(table, j)", (38,)),
        ("y = Gather<axis=1>(table, i)", (8,)),
        (
            "a = Gather(table, i)\n b = Gather<axis=-1>(table, i)\n y = Concat<axis=0>(a, b)",
            (40, 8),
        ),
        ("y = GatherElements(x, i)", ("b",)),
        ("y = OneHot(i, depth, ends)", (9,)),
        ("y = TopK(table, i)", (9,)),
        ("y = ConstantOfShape(i)", (5,)),
    ],
)
def test_indices_and_sizes_have_the_limits_of_what_they_index(
    body: str, limits: tuple[int | str, ...]
) -> None:
    found = meaning_of(
        f"agraph (int32[b,s] i, float[b,4] x) => (float y) {{ {body} }}",
        table=TABLE, zero=np.array([0]), two=np.array(2), depth=np.array([9]),
        ends=np.zeros(2, np.float32),
    )  # fmt: skip
    assert found is not None
    assert (found.kind, found.limits) == ("number", limits)


def test_an_offset_before_the_table_raises_the_least_index() -> None:
    text = "agraph (int64[b] i) => (float y) { j = Sub(i, two)\n y = Gather(table, j) }"
    assert meaning_of(text, table=TABLE, two=np.array(2)) == Meaning("number", 2, (42,))


def test_indices_in_tuples_are_limited_by_the_shortest_axis_they_run_over() -> None:
    text = "agraph (int64[b,2] i) => (float y) { y = GatherND(table, i) }"
    assert meaning_of(text, table=TABLE) == Meaning("number", 0, (40, 8))


def test_a_table_that_is_dequantized_first_still_tells_its_rows() -> None:
    text = """agraph (int64[b] i) => (float y) {
        table = DequantizeLinear(codes, scale)\n y = Gather(table, i) }"""
    codes = {"codes": TABLE.astype(np.int8), "scale": np.float32(1)}
    assert meaning_of(text, **codes) == Meaning("number", 0, (40,))


def test_uses_inside_a_branch_count() -> None:
    proto = model_proto(
        "agraph (int64[b] i, bool c) => (float y) { y = If(c) <"
        "then_branch = t () => (float p) { p = Gather(table, i) },"
        "else_branch = e () => (float q) { q = Neg(r) }> }",
        table=TABLE, r=np.float32(1),
    )  # fmt: skip
    assert input_meanings(ir.from_proto(proto))["i"].limits == (40,)


def test_uses_inside_a_function_count() -> None:
    proto = model_proto(
        "agraph (int64[b] i) => (float[b,8] y) { y = local.Embed(table, i) }", table=TABLE
    )
    gather = onnx.helper.make_node("Gather", ["t", "k"], ["o"])
    proto.functions.append(
        onnx.helper.make_function(
            "local", "Embed", ["t", "k"], ["o"], [gather], [onnx.helper.make_opsetid("", 18)]
        )
    )
    proto.opset_import.append(onnx.helper.make_opsetid("local", 1))
    assert input_meanings(ir.from_proto(proto))["i"].limits == (40,)


def test_the_contrib_operator_that_embeds_tells_the_rows_of_its_tables() -> None:
    text = """agraph (int32[b,s] i, int32[b,s] t) => (float y) {
        y = com.microsoft.EmbedLayerNormalization(i, t, table, table, kinds, g, g) }"""
    kinds = TABLE[:2]
    found = input_meanings(model(text, table=TABLE, kinds=kinds, g=TABLE[0]))
    assert (found["i"].limits, found["t"].limits) == ((40,), (2,))


@pytest.mark.parametrize(
    ("signature", "kind"),
    [
        ("int64[b,s] attention_mask", "mask"),
        ("bool[b,1,s,s] mask", "mask"),
        ("float[b,s] attention_mask", "mask"),
        ("int64[b,s] position_ids", "position"),
        ("float[b,s] positions", ""),
        ("bool mask", ""),
        ("int64[b,s] x", ""),
    ],
)
def test_masks_and_positions_are_told_by_their_names(signature: str, kind: str) -> None:
    name = signature.rsplit(maxsplit=1)[-1]
    found = input_meanings(model(f"agraph ({signature}) => (y) {{ y = Identity({name}) }}"))
    assert found.get(name, Meaning("")).kind == kind


def test_an_index_called_mask_is_an_index() -> None:
    text = "agraph (int64[b] mask_kind) => (float y) { y = Gather(table, mask_kind) }"
    assert input_meanings(model(text, table=TABLE))["mask_kind"].limits == (40,)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("y = Reshape(table, i)", "shape"),
        ("y = ReduceSum(table, i)", "axes"),
        ("y = Neg(i)", ""),
    ],
)
def test_shapes_and_axes_are_told_by_their_operand(body: str, kind: str) -> None:
    found = meaning_of(f"agraph (int64[2] i) => (y) {{ {body} }}", table=TABLE)
    assert (found.kind if found else "") == kind


@pytest.mark.parametrize(("dtype", "kind"), [("uint8", "full"), ("int64", "")])
def test_eight_bits_that_become_floats_take_their_whole_range(dtype: str, kind: str) -> None:
    found = meaning_of(f"agraph ({dtype}[b,3] i) => (float y) {{ y = Cast<to=1>(i) }}")
    assert (found.kind if found else "") == kind

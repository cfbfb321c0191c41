"""Random inputs hold what a model expects of them, in lengths that it takes."""

import numpy as np
import onnx_ir as ir
import pytest
from support import model

from nfcompile.runtime.lengths import layouts
from nfcompile.runtime.sampling import Inputs, sample_inputs


def sampled(signature: str, body: str, size: int = 3, **constants: np.ndarray) -> Inputs:
    source = model(f"agraph ({signature}) => (y) {{ {body} }}", **constants)
    return sample_inputs(source, size, np.random.default_rng(0))


def test_token_ids_cover_the_vocabulary_and_stay_inside_it() -> None:
    table = np.zeros((50, 2), np.float32)
    ids = sampled("int64[b,200] i", "y = Gather(table, i)", table=table)["i"]
    assert ids.min() >= 0 and ids.max() < 50
    assert len(np.unique(ids)) > 40


def test_indices_stay_inside_an_axis_that_is_open() -> None:
    inputs = sampled("float[b,s] x, int64[b,9] i", "y = GatherElements<axis=1>(x, i)")
    assert inputs["i"].max() < inputs["x"].shape[1]
    assert inputs["i"].max() > 1


def test_masks_are_ones_and_then_zeros_and_never_empty() -> None:
    mask = sampled("int64[b,20] attention_mask", "y = Identity(attention_mask)")["attention_mask"]
    assert (np.diff(mask, axis=1) <= 0).all()
    assert mask[0].all()
    assert mask.sum(axis=1).min() >= 10
    assert not mask.all()


def test_positions_run_along_the_last_axis_and_wrap_at_the_end_of_their_table() -> None:
    plain = sampled("int64[b,6] position_ids", "y = Identity(position_ids)")["position_ids"]
    assert plain.tolist() == [[0, 1, 2, 3, 4, 5]] * 3
    table = np.zeros((4, 2), np.float32)
    text = "y = Gather(table, position_ids)"
    short = sampled("int64[b,6] position_ids", text, table=table)["position_ids"]
    assert short[0].tolist() == [0, 1, 2, 3, 0, 1]


def test_shapes_axes_and_bytes_are_valid() -> None:
    data = np.zeros((4, 6), np.float32)
    assert sampled("int64[3] i", "y = Reshape(data, i)", data=data)["i"].tolist() == [-1, 1, 1]
    assert sampled("int64[2] i", "y = ReduceSum(data, i)", data=data)["i"].tolist() == [0, 1]
    image = sampled("uint8[b,30] i", "y = Cast<to=1>(i)")["i"]
    assert image.dtype == np.uint8 and image.max() > 100


def test_integers_that_mean_nothing_are_zeros_and_ones() -> None:
    assert set(sampled("int64[b,50] i", "y = Neg(i)")["i"].reshape(-1)) == {0, 1}


def test_a_dimension_that_is_an_expression_follows_its_names() -> None:
    inputs = sampled('float[b,"past + 1"] x, float[b,past] p', "y = Identity(x)")
    assert inputs["x"].shape[1] == inputs["p"].shape[1] + 1
    assert inputs["p"].shape[0] == 3


@pytest.mark.parametrize("name", ["?", "a b", ""])
def test_odd_names_of_dimensions_are_names(name: str) -> None:
    source = model("agraph (float[b,s] x) => (y) { y = Identity(x) }")
    source.graph.inputs[0].shape = ir.Shape(["b", name or None])
    assert sample_inputs(source, 2, np.random.default_rng(0))["x"].shape == (2, 5)


def test_further_layouts_tie_the_lengths_total_first() -> None:
    source = model(
        "agraph (float[b,s] x, float[b,p] past, float[b,total] mask) => (y) { y = Identity(x) }"
    )
    first, second, *others = (way(2) for way in layouts(source))
    assert len(set(first.values())) == 4
    assert second["total"] == second["p"] + second["s"]
    assert {"b": 2, "s": 8, "p": 8, "total": 8} in others

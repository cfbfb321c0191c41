"""Pipelines as text."""

import onnx_ir as ir
import pytest
from support import model, op_types

from nfcompile.errors import InputError
from nfcompile.ir.pipeline import parse_pipeline, run_pipeline
from nfcompile.ir.remarks import remarks
from nfcompile.passes import PASSES, EncodeWeightsPass, default_pipeline
from nfcompile.target import TARGETS

TEXT = "agraph (float[b,4] x) => (float[b,4] y) { h = Identity(x)\n y = Relu(h) }"


def test_text_gives_passes_in_order_with_their_options() -> None:
    made = parse_pipeline("fold-masks, encode-weights{threads=3, force=csr} ,remove-unused", PASSES)
    assert [name for name, _ in made] == ["fold-masks", "encode-weights", "remove-unused"]
    assert made[1][1] == EncodeWeightsPass(threads=3, force="csr")


def test_empty_text_gives_no_passes() -> None:
    assert parse_pipeline("", PASSES) == []


@pytest.mark.parametrize("target", TARGETS)
def test_the_default_pipelines_parse(target: str) -> None:
    names = [name for name, _ in parse_pipeline(default_pipeline(target, 2), PASSES)]
    assert f"legalize-{target}" in names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fold-mask", "unknown pass 'fold-mask': did you mean fold-masks?"),
        ("zzz", "unknown pass 'zzz': known: "),
        ("encode-weights{treads=1}", "has no option 'treads': did you mean threads?"),
        ("encode-weights{threads=two}", "option threads of pass encode-weights must be a int"),
        ("encode-weights{threads}", "option threads of pass encode-weights needs a value"),
        ("encode-weights{force=coo}", "force must be one of"),
        ("infer-shapes{a=1}", "pass infer-shapes has no option 'a': it has no options"),
        ("fold-masks{", "pipeline text must be"),
        ("fold-masks encode-weights", "pipeline text must be"),
    ],
)
def test_bad_text_gives_one_line_that_helps(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_pipeline(text, PASSES)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_pass_is_reported_and_the_model_changes() -> None:
    source = model(TEXT)
    seen = []
    passes = parse_pipeline("identity-elimination,remove-unused", PASSES)
    run_pipeline(source, passes, after=lambda name, _, seconds: seen.append((name, seconds >= 0)))
    assert seen == [("identity-elimination", True), ("remove-unused", True)]
    assert op_types(source) == ["Relu"]


@pytest.mark.parametrize("says", [True, False])
def test_a_pass_that_breaks_the_model_is_caught_by_name(says: bool) -> None:
    source = model(TEXT)

    def breaks(model: ir.Model) -> ir.passes.PassResult:
        source.graph[0].op_type = "NoSuchOperator"
        return ir.passes.PassResult(model, modified=says)

    rest = parse_pipeline("remove-unused", PASSES) if says else []
    with pytest.raises(AssertionError, match="pass breaks left the model invalid"):
        run_pipeline(source, [("breaks", breaks), *rest])  # type: ignore[list-item]


def test_a_model_that_came_invalid_is_noted_and_not_blamed_on_a_pass() -> None:
    source = model("agraph (float[b,4] x) => (float[b,4] y) { y = NoSuchOperator(x) }")
    run_pipeline(source, parse_pipeline("remove-unused", PASSES))
    assert "not valid as it came" in str(remarks(source)[0])


@pytest.mark.parametrize("target", ["ort-cpu", "portable"])
@pytest.mark.parametrize("name", ["drop-dead-units", "merge-duplicates", "collapse-products"])
def test_a_pass_of_algebra_can_be_left_out_of_the_default_pipeline(target: str, name: str) -> None:
    whole = [item for item, _ in parse_pipeline(default_pipeline(target, 2), PASSES)]
    part = parse_pipeline(default_pipeline(target, 2, without=[name]), PASSES)
    assert name in whole
    assert [item for item, _ in part] == [item for item in whole if item != name]


def test_what_cannot_be_left_out_is_refused_with_what_can() -> None:
    with pytest.raises(InputError, match="'fold-masks' cannot be left out: known: collapse-pro"):
        default_pipeline("ort-cpu", 1, without=["fold-masks"])

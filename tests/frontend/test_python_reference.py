"""A model named by its code is what that code returns."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nfcompile.errors import InputError, NfcompileError, UnsupportedModelError
from nfcompile.frontend import python_reference
from nfcompile.frontend.python_reference import from_python_reference

CODE = """
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from neighbour import WIDTH

@dataclass
class Options:  # needs the code to be in sys.modules
    width: int = WIDTH

def with_inputs():
    return nn.Linear(WIDTH, 4), torch.ones(3, WIDTH)

def with_shapes():
    return nn.Linear(WIDTH, 4), (torch.ones(3, WIDTH),), ({0: "rows"},)

def module_only():
    return nn.Linear(WIDTH, 4)

def number():
    return 3

def fails():
    raise KeyError("no such\\nlayer")

def leaves():
    raise SystemExit

def needs(argument):
    return argument

text = "not callable"
made = nn.Linear(WIDTH, 4)
class Net(nn.Linear):
    def __init__(self):
        super().__init__(WIDTH, 4)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "reference_code.py").write_text(CODE)
    (tmp_path / "neighbour.py").write_text("WIDTH = 8\n")
    (tmp_path / "broken_code.py").write_text("import torch\nraise ValueError('at import')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "neighbour", raising=False)
    monkeypatch.delitem(sys.modules, "reference_code", raising=False)
    return tmp_path


@pytest.fixture
def handed_over(monkeypatch):
    """What reaches the exporter, without the seconds that exporting takes."""
    monkeypatch.setattr(
        python_reference,
        "from_module",
        lambda module, inputs, **more: SimpleNamespace(module=module, inputs=inputs, **more),
    )


@pytest.mark.parametrize("place", ["reference_code", "reference_code.py", "{}/reference_code.py"])
def test_code_is_found_by_module_and_by_file_with_its_neighbours(folder, handed_over, place):
    made = from_python_reference(f"{place.format(folder)}:with_inputs")
    assert made.name == "with_inputs"
    assert made.module.in_features == 8
    torch.testing.assert_close(made.inputs, torch.ones(3, 8))


def test_what_the_code_returns_is_exported(folder):
    source = from_python_reference("reference_code:with_inputs")
    assert source.name == "with_inputs"
    np.testing.assert_array_equal(source.example_inputs["input"], np.ones((3, 8)))
    assert set(source.model.graph.initializers) == {"weight", "bias"}


def test_the_search_path_is_left_as_it_was(folder, handed_over):
    before = list(sys.path)
    from_python_reference("reference_code:with_inputs")
    with pytest.raises(NfcompileError):
        from_python_reference("reference_code.py:fails")
    assert sys.path == before


@pytest.mark.parametrize("name", ["module_only", "made", "Net"])
def test_shapes_stand_for_example_inputs(folder, handed_over, name):
    made = from_python_reference(f"reference_code.py:{name}", input_shapes=[(5, 8), (2,)])
    assert [tensor.shape for tensor in made.inputs] == [(5, 8), (2,)]
    assert made.inputs[0].unique().numel() == 40


def test_token_ids_and_masks_are_drawn_as_the_shape_says(folder, handed_over):
    texts = ["batch=2,tokens=50:int64", "2,50:bool", "2,8"]
    made = from_python_reference("reference_code:module_only", input_shapes=texts)
    ids, mask, floats = made.inputs
    assert (ids.dtype, mask.dtype, floats.dtype) == (torch.int64, torch.bool, torch.float32)
    assert ids.unique().tolist() == [0, 1]
    assert made.dynamic_shapes == [{0: "batch", 1: "tokens"}, {0: "batch"}, {0: "batch"}]
    made = from_python_reference("reference_code:module_only", input_shapes=["2,8"])
    assert made.dynamic_shapes is None


def test_the_code_may_say_what_varies_and_the_caller_has_the_last_word(folder, handed_over):
    name = "reference_code:with_shapes"
    assert from_python_reference(name).dynamic_shapes == ({0: "rows"},)
    assert from_python_reference(name, dynamic_shapes={}).dynamic_shapes == {}


def test_inputs_of_the_caller_come_first_then_shapes_then_those_of_the_code(folder, handed_over):
    given, shapes = torch.zeros(2, 8), [(7, 8)]
    name = "reference_code:with_inputs"
    first = from_python_reference(name, example_inputs=given, input_shapes=shapes)
    assert first.inputs is given
    assert from_python_reference(name, input_shapes=shapes).inputs[0].shape == (7, 8)
    assert from_python_reference(name).inputs.shape == (3, 8)


def test_weights_are_loaded_into_what_the_code_returns(folder, handed_over):
    saved = nn.Linear(8, 4)
    torch.save(saved.state_dict(), folder / "w.pt")
    made = from_python_reference("reference_code:with_inputs", weights=folder / "w.pt")
    torch.testing.assert_close(made.module.weight, saved.weight)
    torch.save({"weight": saved.weight}, folder / "w.pt")
    message = "w.pt does not fit reference_code:with_inputs: missing bias"
    with pytest.raises(InputError, match=message):
        from_python_reference("reference_code:with_inputs", weights=folder / "w.pt")


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("reference_code", InputError, "must be package.module:callable or path.py:callable"),
        (":with_inputs", InputError, "must be package.module:callable"),
        ("gone.py:f", InputError, "no such file: gone.py"),
        ("gone_module:f", InputError, "cannot import gone_module: ModuleNotFoundError"),
        ("broken_code:f", InputError, "cannot import broken_code: ValueError: at import"),
        ("reference_code:gone", InputError, "reference_code has no attribute gone"),
        ("reference_code:text", InputError, "must be callable, got str"),
        ("reference_code:number", InputError, "must return a torch module .* got int"),
        ("reference_code:module_only", InputError, "returns no example inputs"),
        ("reference_code:fails", UnsupportedModelError, "fails raised KeyError: 'no such"),
        ("reference_code:leaves", UnsupportedModelError, "leaves raised SystemExit"),
        ("reference_code:needs", UnsupportedModelError, "needs raised TypeError"),
    ],
)
def test_every_failure_is_one_line_that_names_the_cause(folder, reference, error, message):
    with pytest.raises(error, match=message) as caught:
        from_python_reference(reference)
    assert "\n" not in str(caught.value)

"""Programs of torch.export compile from memory and from files."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from scipy.sparse import random_array
from torch import nn

from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.frontend.exported_program import from_exported_program, from_pt2
from nfcompile.nn import SparseLinear


def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)).eval()


def export(m, *args, dynamic=True, **kwargs):
    shapes = ({0: torch.export.Dim.AUTO},) if dynamic else None
    return torch.export.export(m, args, kwargs, dynamic_shapes=shapes)


def run_ort(source, inputs):
    model = ir.to_proto(source.model).SerializeToString()
    return ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, inputs)


def test_a_program_agrees_with_the_module_it_came_from():
    m, x = module(), torch.randn(3, 8)
    source = from_exported_program(export(m, x))
    np.testing.assert_array_equal(source.example_inputs["input"], x.numpy())
    for batch in (1, 3, 9):
        x = torch.randn(batch, 8)
        expected = m(x).detach().numpy()
        inputs = {"input": x.numpy()}
        np.testing.assert_allclose(*source.run(inputs).values(), expected, rtol=1e-6)
        np.testing.assert_allclose(run_ort(source, inputs)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_saved_program_is_read_back_with_its_weights(tmp_path):
    m, x = module(), torch.randn(3, 8)
    path = tmp_path / "model.pt2"
    torch.export.save(export(m, x), path)
    source = from_pt2(path)
    assert source.name == "model.pt2"
    assert set(source.model.graph.initializers) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    result = run_ort(source, {"input": x.numpy()})[0]
    np.testing.assert_allclose(result, m(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_saved_program_with_sparse_layers_keeps_them_sparse(tmp_path):
    layer = SparseLinear(8, 6, random_array((6, 8), density=0.3, format="csr", rng=0))
    path = tmp_path / "model.pt2"
    torch.export.save(export(layer, torch.randn(3, 8)), path)
    graph = from_pt2(path).model.graph
    assert [node.op_type for node in graph] == ["CsrToDense", "Transpose", "MatMul", "Add"]
    assert "values" in graph.initializers


def test_a_program_without_example_inputs_can_still_be_run():
    m = functional_with_constant()
    program = torch.export.export(m, (torch.randn(3, 8), 2.0))
    expected = m(torch.ones(3, 8), 2.0).numpy()
    program.example_inputs = None
    source = from_exported_program(program)
    assert source.example_inputs is None
    np.testing.assert_array_equal(
        *source.run({"x": np.ones((3, 8), np.float32)}).values(), expected
    )


def functional_with_constant():
    class Scale(nn.Module):
        def forward(self, x, factor):
            return x * factor

    return Scale()


def test_example_inputs_of_the_callers_come_first():
    source = from_exported_program(export(module(), torch.randn(3, 8)), torch.ones(2, 8))
    np.testing.assert_array_equal(source.example_inputs["input"], np.ones((2, 8)))


def test_a_fixed_batch_is_noted():
    source = from_exported_program(export(module(), torch.randn(3, 8), dynamic=False))
    assert source.notes == ("the first dimension of input input is fixed at 3",)


def test_a_file_that_is_no_program_is_refused_in_one_line(tmp_path):
    whole = tmp_path / "model.pt2"
    torch.export.save(export(module(), torch.randn(3, 8)), whole)
    truncated = tmp_path / "truncated.pt2"
    truncated.write_bytes(whole.read_bytes()[:2000])
    text = tmp_path / "text.pt2"
    text.write_text("hello")
    empty = tmp_path / "empty.pt2"
    empty.touch()
    state = tmp_path / "state.pt2"
    torch.save(module().state_dict(), state)
    for path in (truncated, text, empty, state):
        with pytest.raises(UnsupportedModelError, match=f"{path.name} is not a program") as caught:
            from_pt2(path)
        assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"no such file: .*gone\.pt2"):
        from_pt2(tmp_path / "gone.pt2")

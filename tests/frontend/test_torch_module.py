"""Exported modules compute what the module computes, whatever carries their zeros."""

import subprocess
import sys

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from scipy.sparse import random_array
from torch import nn
from torch.nn.utils import parametrize, prune

import nfcompile
from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.frontend.torch_call import to_numpy, to_torch
from nfcompile.frontend.torch_module import from_module
from nfcompile.nn import SparseCascade, SparseLinear
from nfcompile.topology import ParallelButterfly


def functional(forward, **parameters):
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in parameters.items():
                if isinstance(value, nn.Module | nn.Parameter):
                    setattr(self, name, value)
                else:
                    self.register_buffer(name, value)

        def forward(self, *args, **kwargs):
            return forward(self, *args, **kwargs)

    return Functional()


def zeros(*shape):
    return (torch.rand(shape) < 0.3).float()


def pruned(*, remove):
    module = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))
    for index in (0, 2):
        prune.l1_unstructured(module[index], "weight", amount=0.6)
        if remove:
            prune.remove(module[index], "weight")
    return module


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", zeros(6, 8))

    def forward(self, weight):
        return weight * self.mask


def parametrized():
    module = nn.Sequential(nn.Linear(8, 6), nn.SiLU())
    parametrize.register_parametrization(module[0], "weight", Masked())
    return module


def plain_zeros():
    module = nn.Sequential(nn.Linear(8, 6), nn.Hardtanh(), nn.Linear(6, 4), nn.ReLU6())
    with torch.no_grad():
        module[0].weight *= zeros(6, 8)
    return module


def normalized():
    norm = nn.BatchNorm1d(6)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    gelu = nn.GELU(approximate="tanh")
    return nn.Sequential(nn.Linear(8, 6), norm, nn.GELU(), nn.Dropout(0.5), gelu)


MODULES = {
    "mask buffer": lambda: functional(
        lambda self, x: nn.functional.linear(x, self.weight * self.mask),
        weight=nn.Parameter(torch.randn(6, 8)),
        mask=zeros(6, 8),
    ),
    "prune with its reparametrization on": lambda: pruned(remove=False),
    "prune removed": lambda: pruned(remove=True),
    "parametrize": parametrized,
    "plain zeros": plain_zeros,
    "x @ W.t() and x @ W": lambda: functional(
        lambda s, x: x @ s.v.t() @ s.w,
        v=nn.Parameter(torch.randn(6, 8)),
        w=nn.Parameter(torch.randn(6, 4)),
    ),
    "batch norm, GELU and dropout": normalized,
    "residual": lambda: functional(lambda s, x: torch.relu(s.f(x)) + x, f=nn.Linear(8, 8)),
}


def run_ort(source, inputs):
    model = ir.to_proto(source.model).SerializeToString()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def assert_agrees(source, inputs):
    expected = source.run(inputs)
    got = run_ort(source, inputs)
    assert list(got) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


def rows(count, width=8, seed=0):
    return np.random.default_rng(seed).standard_normal((count, width), dtype=np.float32)


@pytest.mark.parametrize("kind", MODULES)
def test_the_graph_agrees_with_eager_at_other_batch_sizes(kind):
    torch.manual_seed(0)
    module = MODULES[kind]()
    source = from_module(module, torch.randn(1, 8))
    assert source.notes == ()
    module.eval()
    for batch in (1, 3, 17):
        x = rows(batch)
        with torch.no_grad():
            eager = module(torch.from_numpy(x)).numpy()
        (output,) = source.run({source.model.graph.inputs[0].name: x}).values()
        np.testing.assert_array_equal(output, eager)
        assert_agrees(source, {source.model.graph.inputs[0].name: x})


def test_three_dimensional_activations_keep_their_rank():
    torch.manual_seed(0)
    source = from_module(nn.Sequential(nn.Linear(8, 6), nn.ReLU()), torch.randn(2, 5, 8))
    x = np.random.default_rng(0).standard_normal((7, 5, 8), dtype=np.float32)
    assert_agrees(source, {"input": x})


def test_several_inputs_and_outputs_keep_names_and_order():
    module = functional(lambda s, a, b: {"sum": s.f(a) + b, "input": b}, f=nn.Linear(8, 4))
    source = from_module(module, (torch.randn(1, 8), torch.randn(1, 4)))
    assert len(source.example_inputs) == 2
    a, b = (value.name for value in source.model.graph.inputs)
    inputs = {a: rows(5), b: rows(5, 4)}
    assert_agrees(source, inputs)
    np.testing.assert_array_equal(list(source.run(inputs).values())[1], inputs[b])


def test_keyword_arguments_come_as_a_dict_and_constants_stay_constants():
    class Scaled(nn.Module):
        def forward(self, x, scale, y, flag=None):
            return x * scale + y

    example = {"y": torch.randn(3, 8), "x": torch.randn(3, 8), "scale": 2.5, "flag": None}
    source = from_module(Scaled(), example)
    assert set(source.example_inputs) == {"x", "y"}
    np.testing.assert_array_equal(source.example_inputs["y"], example["y"].numpy())
    inputs = {"x": rows(4, seed=1), "y": rows(4, seed=2)}
    assert_agrees(source, inputs)
    np.testing.assert_allclose(
        next(iter(source.run(inputs).values())), inputs["x"] * 2.5 + inputs["y"], rtol=1e-6
    )


def test_an_output_that_is_given_twice_gets_two_names():
    source = from_module(functional(lambda s, x: (x * 2, x, x * 3, x)), torch.randn(2, 8))
    assert len({value.name for value in source.model.graph.outputs}) == 4
    assert_agrees(source, {source.model.graph.inputs[0].name: rows(3)})

    def twice(s, x):
        y = x * 2
        return y, y

    source = from_module(functional(twice), torch.randn(2, 8))
    assert len({value.name for value in source.model.graph.outputs}) == 2
    assert_agrees(source, {source.model.graph.inputs[0].name: rows(3)})


def test_weights_keep_their_paths_and_nodes_are_named_after_their_modules():
    module = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Sequential(nn.Linear(6, 4)))
    graph = from_module(module, torch.randn(1, 8)).model.graph
    assert set(graph.initializers) == {"0.weight", "0.bias", "2.0.weight", "2.0.bias"}
    assert [node.name for node in graph] == ["0/Gemm", "1/Relu", "2.0/Gemm"]


def test_no_traces_of_the_exporter_are_left():
    source = from_module(normalized(), torch.randn(1, 8))
    values = [value for node in source.model.graph for value in node.outputs]
    assert {type(value) for value in values} == {ir.Value}
    proto = ir.to_proto(source.model)
    assert proto.ir_version <= 9
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 18)]
    assert not proto.functions
    assert not proto.metadata_props
    assert all(not node.metadata_props and not node.doc_string for node in proto.graph.node)
    assert all(not v.metadata_props for v in [*proto.graph.value_info, *proto.graph.input])
    (dimension, width) = proto.graph.input[0].type.tensor_type.shape.dim
    assert (dimension.dim_param, width.dim_value) == ("batch", 8)
    assert proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_the_module_keeps_its_modes_its_state_and_its_gradients():
    module = nn.Sequential(pruned(remove=False), nn.Dropout(0.5), nn.BatchNorm1d(4))
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    source = from_module(module, torch.randn(3, 8))
    source.run({"input": rows(3)})
    assert [part.training for part in module.children()] == [True, False, True]
    assert {name: value.tolist() for name, value in module.state_dict().items()} == {
        name: value.tolist() for name, value in before.items()
    }
    module(torch.randn(3, 8)).sum().backward()
    assert module[0][0].weight_orig.grad is not None


def test_a_module_that_depends_on_its_batch_stays_at_the_examples_and_says_so():
    module = functional(lambda s, x: x.reshape(1, 2, 4) * 2)
    source = from_module(module, torch.randn(1, 8))
    assert "is fixed" in " ".join(source.notes)
    assert source.model.graph.inputs[0].shape[0] == 1
    assert_agrees(source, {source.model.graph.inputs[0].name: rows(1)})
    fixed = from_module(functional(lambda s, x: x.view(3, 2, 4)), torch.randn(3, 8))
    assert fixed.notes == ("the first dimension of input args_0 is fixed at 3",)


def tokens():
    return functional(lambda s, ids, mask: s.e(ids) * mask[..., None], e=nn.Embedding(16, 8))


def shapes_of(source):
    return [[str(size) for size in value.shape] for value in source.model.graph.inputs]


def test_batch_and_tokens_of_integer_matrices_vary_by_default():
    ids, mask = torch.randint(16, (2, 5)), torch.ones(2, 5, dtype=torch.int64)
    source = from_module(tokens(), (ids, mask))
    assert source.notes == ()
    (batch, length), other = shapes_of(source)
    assert (batch, other) == ("batch", ["batch", length])
    names = [value.name for value in source.model.graph.inputs]
    for size in ((1, 1), (4, 9)):
        arrays = np.random.default_rng(0).integers(16, size=size), np.ones(size, np.int64)
        assert_agrees(source, dict(zip(names, arrays, strict=True)))


def test_an_integer_matrix_whose_width_is_fixed_keeps_its_batch():
    module = functional(lambda s, x, i: x[:, :3] + i.view(-1, 3))
    source = from_module(module, (torch.randn(2, 8), torch.zeros(2, 3, dtype=torch.int64)))
    assert [shape[0] for shape in shapes_of(source)] == ["batch", "batch"]
    assert source.notes == ("dimension 1 of input args_1 is fixed at 3",)


@pytest.mark.parametrize("of", [dict, lambda spec: tuple(spec.values())])
def test_dimensions_vary_as_the_user_asks_and_are_called_so(of):
    class Parts(nn.Module):
        def forward(self, x, parts):
            return x + parts[0], parts[1] * 2

    module = Parts()
    example = {"x": torch.randn(2, 4), "parts": [torch.randn(2, 4), torch.randn(3, 4)]}
    spec = {"x": {0: "rows"}, "parts": [("rows", None), {0: "others"}]}
    source = from_module(module, example, dynamic_shapes=of(spec))
    assert shapes_of(source) == [["rows", "4"], ["rows", "4"], ["others", "4"]]
    assert [str(value.shape[0]) for value in source.model.graph.outputs] == ["rows", "others"]


def test_a_batch_of_one_varies_where_it_is_asked_for():
    module, spec = nn.Linear(8, 4), ({0: "rows"},)
    assert shapes_of(from_module(module, torch.randn(1, 8), dynamic_shapes=spec))[0][0] == "rows"


def test_a_dimension_that_was_asked_for_and_is_fixed_is_told():
    module = functional(lambda s, x: x + s.b, b=torch.ones(5))
    source = from_module(module, torch.randn(2, 5), dynamic_shapes=({0: "rows", 1: "columns"},))
    assert shapes_of(source) == [["rows", "5"]]
    assert source.notes == ("dimension 1 of input args_0 is fixed at 5",)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"z": {0: "rows"}}, "dynamic shapes have z, the inputs are x, parts"),
        ({"parts": {0: "rows"}}, "must be nested like the inputs, got dict for list"),
        ({"parts": [None]}, "dynamic shapes must be 2 for a list, got 1"),
        ({"x": "rows"}, "must be a dict by dimension, got str"),
        ({"x": {2: "rows"}}, "name dimension 2 of a tensor of 2"),
    ],
)
def test_dynamic_shapes_that_do_not_fit_are_refused(spec, message):
    module = functional(lambda s, x, parts: x + parts[0] + parts[1])
    example = {"x": torch.randn(2, 4), "parts": [torch.randn(2, 4)] * 2}
    with pytest.raises(InputError, match=message):
        from_module(module, example, dynamic_shapes=spec)


def test_dynamic_batch_can_be_turned_off():
    source = from_module(nn.Linear(8, 4), torch.randn(3, 8), dynamic_shapes={})
    assert list(source.model.graph.inputs[0].shape) == [3, 8]


def csr(rows, columns, density=0.3):
    return random_array((rows, columns), density=density, format="csr", rng=0)


def test_sparse_linear_is_a_virtual_dense_weight_of_stored_constants():
    module = nn.Sequential(SparseLinear(8, 6, csr(6, 8)), nn.ReLU())
    model = from_module(module, torch.randn(1, 8)).model
    assert [node.op_type for node in model.graph] == [
        "CsrToDense",
        "Transpose",
        "MatMul",
        "Add",
        "Relu",
    ]
    node, transpose = model.graph[0], model.graph[1]
    assert (node.domain, node.attributes["shape"].as_ints()) == ("nfcompile", (6, 8))
    assert transpose.attributes["perm"].as_ints() == (1, 0)
    assert [value.name for value in node.inputs] == ["0.values", "0.indices", "0.indptr"]
    assert [value.name for value in model.graph.inputs] == ["input"]
    for value in node.inputs:
        stored = module.state_dict()[value.name].numpy()
        np.testing.assert_array_equal(value.const_value.numpy(), stored)
    assert model.opset_imports == {"": 18, "nfcompile": 1}
    assert not model.functions


def dense_twin(model):
    """The same graph with each CsrToDense evaluated by hand: the oracle for such graphs."""
    for node in list(model.graph):
        if node.op_type == "CsrToDense":
            values, indices, indptr = (value.const_value.numpy() for value in node.inputs)
            dense = np.zeros(node.attributes["shape"].as_ints(), dtype=values.dtype)
            for row in range(dense.shape[0]):
                part = slice(indptr[row], indptr[row + 1])
                dense[row, indices[part]] = values[part]
            value = ir.Value(name=f"{node.name}/dense", const_value=ir.Tensor(dense))
            value.const_value.name = value.name
            model.graph.register_initializer(value)
            node.outputs[0].replace_all_uses_with(value)
            model.graph.remove(node, safe=True)
    del model.opset_imports["nfcompile"]


@pytest.mark.parametrize(
    ("make", "lead"),
    [
        (lambda: SparseLinear(16, 6, csr(6, 16)), (2, 3)),
        (lambda: SparseCascade(ParallelButterfly(16, 4, 2), activation=nn.ReLU()), (1,)),
        (lambda: SparseCascade(ParallelButterfly(16, 2, 3, skip=False), bias=False), (1, 3)),
    ],
    ids=["linear", "cascade with skip", "cascade without bias"],
)
def test_sparse_layers_mean_the_same_in_onnx(make, lead):
    torch.manual_seed(0)
    source = from_module(make(), torch.randn(*lead, 16))
    dense_twin(source.model)
    x = np.random.default_rng(0).standard_normal((5, *lead[1:], 16), dtype=np.float32)
    assert_agrees(source, {source.model.graph.inputs[0].name: x})


def test_a_sparse_layer_of_width_65536_is_exported_without_a_dense_weight():
    n, k = 65536, 32
    columns = (np.arange(n)[:, None] + np.arange(k) * 2048) % n
    layer = SparseLinear(n, n, (np.arange(0, n * k + 1, k), columns.ravel()), bias=False)
    source = from_module(layer, torch.randn(1, n))
    stored = sum(value.const_value.nbytes for value in source.model.graph.initializers.values())
    assert stored == 4 * (2 * n * k + n + 1)


def test_a_size_that_the_module_refuses_is_one_line():
    source = from_module(
        functional(lambda s, x: x.view(x.shape[0] // 2, 2, 8) * 2), torch.randn(4, 8)
    )
    (name,) = (value.name for value in source.model.graph.inputs)
    assert_agrees(source, {name: rows(6)})
    with pytest.raises(UnsupportedModelError, match=r"Functional fails on inputs .* \[3, 8\]: "):
        source.run({name: rows(3)})


def raises(message):
    def forward(self, x):
        raise RuntimeError(message)

    return functional(forward)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (raises("no luck\nat all"), r"Functional fails on its example inputs of .*: no luck"),
        (
            functional(lambda s, x: x if x.sum() > 0 else -x),
            "cannot be exported by torch.export",
        ),
        (functional(lambda s, x: (x * 2, 3)), "must return tensors only, got the constant 3"),
        (
            functional(lambda s, x: (x * 2, x.shape[0])),
            "Functional must return tensors only, got the number sym_size",
        ),
        (
            functional(lambda s, x: torch.linalg.eigvals(x.reshape(-1, 2, 2)).real),
            "as ONNX: No ONNX",
        ),
    ],
)
def test_what_cannot_be_exported_is_one_line(module, message, capfd):
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        from_module(module, torch.randn(2, 8))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("example", [None, (), 3, {"x": "text"}])
def test_example_inputs_without_a_tensor_are_refused(example):
    with pytest.raises(InputError, match="example inputs must be a tensor"):
        from_module(nn.Linear(8, 4), example)


def test_without_torch_the_error_says_how_to_get_it():
    code = (
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else find(name, *a)\n"
        "from nfcompile.errors import EngineMissingError\n"
        "try:\n"
        "    import nfcompile.frontend.torch_module\n"
        "except EngineMissingError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "needs torch, which is not installed: pip install torch" in result.stdout


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2]
)
def test_narrow_floats_come_out_as_arrays_and_go_back(dtype):
    tensor = torch.tensor([1.0, -2.0, 0.5]).to(dtype)
    array = to_numpy(tensor)
    assert array.dtype.name == str(dtype).removeprefix("torch.")
    np.testing.assert_array_equal(array.astype(np.float32), tensor.float().numpy())
    assert torch.equal(to_torch(array).float(), tensor.float())


def layers(dtype):
    module = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 16)).to(dtype).eval()
    return module, torch.randn(4, 32).to(dtype)


def test_a_module_in_half_precision_compiles_and_says_per_layer_why_it_is_dense():
    compiled = nfcompile.compile(*layers(torch.float16))
    told = [str(item) for item in compiled.remarks if item.kind == "missed"]
    for name in ("0/Gemm", "2/Gemm"):
        assert any(f"{name}: stays dense: weight" in line and "FLOAT16" in line for line in told)


@pytest.mark.parametrize("wrap", [False, True])
def test_a_module_in_bfloat16_is_refused_in_one_line_that_helps(wrap):
    module, x = layers(torch.bfloat16)
    if wrap:
        module, x = functional(lambda self, y: self.m(y.bfloat16()).float(), m=module), x.float()
    with pytest.raises(UnsupportedModelError) as caught:
        nfcompile.compile(module, x)
    assert "no Gemm for BFLOAT16 on the CPU" in str(caught.value)
    assert "precision bf16" in str(caught.value)
    assert "\n" not in str(caught.value)


class Attention(nn.Module):
    """As in T5: a view of what torch's attention gives."""

    def __init__(self, biased):
        super().__init__()
        self.biased = biased
        self.project = nn.Linear(32, 96)

    def forward(self, x):
        q, k, v = (
            part.view(*x.shape[:2], 4, 8).transpose(1, 2) for part in self.project(x).chunk(3, -1)
        )
        bias = (q @ k.transpose(2, 3)).tanh() if self.biased else None
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return y.transpose(1, 2).contiguous().view(*x.shape)


@pytest.mark.parametrize("biased", [False, True])
def test_a_view_of_attention_is_exported(biased):
    module, x = Attention(biased).eval(), torch.randn(2, 5, 32)
    source = from_module(module, (x,))
    with torch.no_grad():
        expected = module(x).numpy()
    session = ort.InferenceSession(ir.to_proto(source.model).SerializeToString())
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)

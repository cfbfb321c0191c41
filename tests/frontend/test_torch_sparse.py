"""Parameters that are sparse tensors of torch."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import nfcompile
from nfcompile.errors import UnsupportedModelError
from nfcompile.frontend.torch_sparse import to_csr, traceable

N = 256
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "coo": lambda w: w.to_sparse(),
    "csr": lambda w: w.to_sparse_csr(),
    "csc": lambda w: w.to_sparse_csc(),
    "bsr": lambda w: w.to_sparse_bsr((4, 2)),
    "bsc": lambda w: w.to_sparse_bsc((4, 2)),
}
EACH = pytest.mark.parametrize("convert", LAYOUTS.values(), ids=list(LAYOUTS))


def pruned(shape: tuple[int, ...] = (N, N), density: float = 0.05) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator)
    return weight * (torch.rand(shape, generator=generator) < density)


def network(convert: Callable[[Tensor], Tensor]) -> nn.Sequential:
    module = nn.Sequential(nn.Linear(N, N), nn.ReLU(), nn.Linear(N, 8))
    module[0].weight = nn.Parameter(convert(pruned()))
    return module


@EACH
def test_every_layout_has_the_same_non_zeros(convert: Callable[[Tensor], Tensor]) -> None:
    weight = pruned((12, 8), 0.3)
    found = to_csr(convert(weight), "w")
    assert found.nnz == int((weight != 0).sum())
    assert found.has_canonical_format
    np.testing.assert_array_equal(found.toarray(), weight.numpy())


@EACH
@pytest.mark.parametrize("shape", [(2, N), (2, 3, N)], ids=["matrix", "sequence"])
def test_a_linear_layer_with_a_sparse_weight_runs_sparse(
    convert: Callable[[Tensor], Tensor], shape: tuple[int, ...], tmp_path: Path
) -> None:
    module = network(convert)
    weight = module[0].weight
    compiled = nfcompile.compile(module, torch.ones(shape))
    assert module[0].weight is weight
    assert [item.encoding for item in compiled.decisions] == ["csr", "dense"]
    assert compiled.decisions[0].weight == "0.weight"
    compiled.save(tmp_path / "m.onnx")
    x = torch.randn(shape)
    bias = module[0].bias
    with torch.no_grad():
        expected = module[2](functional.linear(x, pruned(), bias).relu()).numpy()
    session = nfcompile.session(tmp_path / "m.onnx")
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_the_dense_weight_never_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("made dense")

    monkeypatch.setattr(Tensor, "to_dense", never)
    compiled = nfcompile.compile(network(LAYOUTS["csr"]), torch.ones(2, N))
    assert compiled.decisions[0].encoding == "csr"


def test_where_torch_does_not_run_the_module_a_note_says_what_it_was_compared_with() -> None:
    notes = {
        name: [str(item) for item in nfcompile.compile(network(convert), torch.ones(2, N)).remarks]
        for name, convert in LAYOUTS.items()
    }
    told = {name for name, said in notes.items() if "cannot run Sequential" in "".join(said)}
    assert "coo" in told
    assert "csr" not in told


class Reader(nn.Module):
    """Reads the weights of its layers instead of calling them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(N, N)
        self.layer.weight = nn.Parameter(pruned().to_sparse_csr())
        self.register_buffer("mask", pruned((N,), 0.5).to_sparse())

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.layer.weight) * self.mask.to_dense()


def test_sparse_tensors_that_are_read_directly_become_dense() -> None:
    compiled = nfcompile.compile(Reader(), torch.ones(2, N))
    assert [item.encoding for item in compiled.decisions] == ["csr"]


def test_what_is_shared_stays_shared_and_nothing_else_is_copied() -> None:
    module = network(LAYOUTS["csr"])
    module.append(module[0])
    other = traceable(module)
    assert other[0] is other[3]
    assert other[2].weight is module[2].weight
    assert other[0].bias is module[0].bias


def test_two_in_four_weights_are_taken() -> None:
    from torch.sparse import SparseSemiStructuredTensorCUTLASS as TwoInFour
    from torch.sparse._semi_structured_conversions import (
        sparse_semi_structured_from_dense_cutlass as pack,
    )

    weight = torch.zeros(64, 64, dtype=torch.float16)
    weight[:, ::4] = torch.randn(64, 16).half()
    weight[:, 1::4] = 1
    packed, meta = pack(weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that it is a prototype
        tensor = TwoInFour(
            weight.shape, packed=packed, meta=meta, packed_t=None, meta_t=None,
            compressed_swizzled_bitmask=None,
        )  # fmt: skip
    module = nn.Linear(64, 64, bias=False, dtype=torch.float16)
    module.weight = nn.Parameter(tensor, requires_grad=False)
    compiled = nfcompile.compile(module, torch.ones(2, 64, dtype=torch.float16))
    assert compiled.report.passed
    stored = compiled.model.graph.initializers.values()
    wanted = weight.numpy()
    assert any(
        np.array_equal(item.const_value.numpy(), form)
        for item in stored
        if item.const_value is not None
        for form in (wanted, wanted.T)
    )


def test_indices_out_of_range_are_refused_before_anything_runs() -> None:
    starts, columns = torch.tensor([0, 1, 2]), torch.tensor([0, 9])
    bad = torch.sparse_csr_tensor(starts, columns, torch.ones(2), (2, 3), check_invariants=False)
    module = nn.Sequential(nn.Linear(3, 2))
    module[0].weight = nn.Parameter(bad)
    with pytest.raises(UnsupportedModelError, match=r"sparse tensor 0\.weight is malformed") as e:
        nfcompile.compile(module, torch.ones(2, 3))
    assert "\n" not in str(e.value)


def test_an_exported_program_with_sparse_parameters_is_refused_by_name() -> None:
    program = torch.export.export(network(LAYOUTS["csr"]), (torch.ones(2, N),))
    with pytest.raises(UnsupportedModelError, match=r"sparse parameter 0\.weight, which"):
        nfcompile.compile(program)

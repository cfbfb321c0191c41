"""Pruning leaves as many zeros as it should, where it should."""

import pytest
import torch
from torch import nn

from nfcompile.errors import InputError
from nfcompile.models.pruning import (
    keep_blocks,
    keep_n_of_m,
    keep_weights,
    largest_blocks,
    prunable,
)


class Tied(nn.Module):
    """Every kind of layer that has a weight; the head's is the embedding's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(32, 16)
        self.linear = nn.Linear(16, 64)
        self.same = nn.Linear(16, 64)
        self.same.weight = self.linear.weight
        self.conv = nn.Conv2d(8, 24, 3)
        self.grouped = nn.Conv2d(8, 16, 3, groups=2)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 32)
        self.head.weight = self.embedding.weight


def density(layer: nn.Module) -> float:
    return float((layer.weight != 0).float().mean())


def test_each_weight_is_pruned_once_and_others_are_left_alone() -> None:
    module = Tied()
    assert [*prunable(module)] == [module.linear, module.conv, module.grouped]
    keep_blocks(module, 0.25, (4, 4))
    assert all(density(part) == 1 for part in (module.embedding, module.depthwise, module.norm))
    assert all(part.bias.all() for part in (module.linear, module.conv))


def test_global_pruning_compares_weights_of_all_layers() -> None:
    module = Tied()
    with torch.no_grad():
        module.linear.weight.mul_(10)
    before = [layer.weight.detach().clone() for layer in prunable(module)]
    keep_weights(module, 0.25)
    after = [layer.weight.detach() for layer in prunable(module)]
    sizes = torch.cat([weight.flatten().abs() for weight in before])
    threshold = sizes.kthvalue(round(0.75 * sizes.numel())).values
    for was, now in zip(before, after, strict=True):
        torch.testing.assert_close(now, was * (was.abs() > threshold), rtol=0, atol=0)
    assert density(module.linear) > 0.8
    assert density(module.conv) < 0.2
    assert isinstance(module.linear.weight, nn.Parameter)


@pytest.mark.parametrize("blocksize", [(4, 1), (16, 16), (1, 1)])
def test_blocks_of_largest_norm_are_kept_whole(blocksize: tuple[int, int]) -> None:
    weight = torch.randn((64, 96), generator=torch.Generator().manual_seed(0))
    (height, width) = blocksize
    mask = largest_blocks(weight, 0.25, blocksize)
    tiles = mask.view(64 // height, height, 96 // width, width).transpose(1, 2)
    kept = tiles.flatten(2).mean(-1)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert kept.mean() == 0.25
    norms = (
        weight.view(64 // height, height, 96 // width, width).transpose(1, 2).flatten(2).norm(dim=2)
    )
    largest = norms == norms.amax(1, keepdim=True)
    assert kept[largest].all()
    assert norms[(kept == 1) & ~largest].amin() >= norms[kept == 0].amax()


def test_no_output_dies_however_few_blocks_there_are() -> None:
    weight = torch.randn((64, 64), generator=torch.Generator().manual_seed(0))
    assert largest_blocks(weight, 0.1, (32, 32)).any(1).all()


def test_blocks_that_do_not_divide_a_convolution_are_cut_off() -> None:
    conv = nn.Conv2d(3, 20, 7)  # (20, 147)
    weight = conv.weight.detach().clone()
    keep_blocks(conv, 0.5, (16, 16))
    kept = conv.weight != 0
    torch.testing.assert_close(conv.weight[kept], weight[kept])
    inside = torch.ones(32, 160).bool()
    inside[20:], inside[:, 147:] = False, False
    masks = torch.zeros(32, 160).bool()
    masks[:20, :147] = kept.flatten(1)
    blocks, sizes = (x.view(2, 16, 10, 16).sum((1, 3)) for x in (masks, inside))
    assert ((blocks == sizes) | (blocks == 0)).all()
    assert (blocks > 0).sum() == 10


def test_two_of_four_inputs_are_kept() -> None:
    module = Tied()
    weight = module.conv.weight.detach().clone()
    keep_n_of_m(module, 2, 4)
    kept = (module.conv.weight != 0).movedim(1, -1).reshape(-1, 4)
    assert (kept.sum(1) == 2).all()
    groups = weight.abs().movedim(1, -1).reshape(-1, 4)
    assert (groups.masked_fill(~kept, 9).amin(1) >= groups.masked_fill(kept, 0).amax(1)).all()
    narrow = nn.Linear(6, 8)
    keep_n_of_m(narrow, 2, 4)
    assert density(narrow) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: keep_weights(m, 0), "density must be above 0 and at most 1, got 0"),
        (lambda m: keep_blocks(m, 1.5, (4, 4)), "density must be above 0 and at most 1, got 1.5"),
        (lambda m: keep_n_of_m(m, 5, 4), "n must be from 1 to m, got n=5, m=4"),
    ],
)
def test_shares_that_cannot_be_are_refused(call, words) -> None:
    with pytest.raises(InputError, match=words):
        call(nn.Linear(4, 4))

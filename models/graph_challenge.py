"""The networks of the Sparse DNN Graph Challenge, generated instead of downloaded.

With N = 16 c neurons, c = 2^m, one layer maps the rows of Y to

    Z = Y W                       W[i, j] = 1/16 where it is not zero, 32 of them per row
    Y' = min(max(Z + b (Z != 0), 0), 32)

and layer m g + k has `W = P_g K(2^k) / 16` with `K(v) = ones(16, 16) (x) (I_c + S_v)`, the
Kronecker product, where S_v is I_c with its columns moved v to the left. P_0 is the identity,
each later P_g a random permutation of the rows that a group of m layers shares. So W has at most
c distinct columns.

Benchmark: Kepner et al., "Sparse Deep Neural Network Graph Challenge", HPEC 2019. The rule is
inferred from its files: it gives all 120 layers of N = 1024, up to the choice of permutations.
"""

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from nfcompile.errors import InputError
from nfcompile.nn import SparseLinear

__all__ = ["graph_challenge", "graph_challenge_1024", "layer_bias", "radix_net_weight"]

_COPIES = 16
_WEIGHT = 1 / 16
_CEILING = 32.0


def radix_net_weight(neurons: int, layer: int, seed: int = 0) -> csr_array:
    """The weight of one layer.

    Args:
        neurons: Width N = 16 * 2^m, m at least 1.
        layer: Index of the layer, from 0.
        seed: Of the permutations.

    Returns:
        W of `Z = Y W`, float32 `[N, N]`: rows are inputs. Columns are sorted in each row.

    Raises:
        InputError: If a number is out of its range.
    """
    digits = _digits(neurons)
    _check("layer", layer, 0)
    _check("seed", seed, 0)
    group, digit = divmod(layer, digits)
    cycle = 2**digits
    rows = np.arange(neurons)
    if group:
        rows = np.random.default_rng((seed, group)).permutation(neurons)
    ends = np.stack([rows % cycle, (rows - 2**digit) % cycle], axis=1)
    copies = cycle * np.arange(_COPIES)
    indices = (copies[:, None] + np.sort(ends)[:, None, :]).astype(np.int32).reshape(-1)
    indptr = np.arange(0, indices.size + 1, 2 * _COPIES, dtype=np.int32)
    values = np.full(indices.size, _WEIGHT, np.float32)
    return csr_array((values, indices, indptr), shape=(neurons, neurons))


def graph_challenge(neurons: int = 1024, layers: int = 120, seed: int = 0) -> nn.Sequential:
    """A network of the benchmark: sparse layers with a bias, each clipped to [0, 32].

    Args:
        neurons: Width N = 16 * 2^m; the benchmark has 1024, 4096, 16384 and 65536.
        layers: Depth; the benchmark has 120, 480 and 1920.
        seed: Of the permutations.

    Returns:
        A module on float32 `[batch, neurons]`.

    Raises:
        InputError: If a number is out of its range.
    """
    bias = layer_bias(neurons)
    _check("layers", layers, 1)
    modules: list[nn.Module] = []
    with torch.random.fork_rng(devices=()), torch.no_grad():  # initial values draw numbers
        for layer in range(layers):
            mask = csr_array(radix_net_weight(neurons, layer, seed).T)
            linear = SparseLinear(neurons, neurons, mask)
            linear.values.fill_(_WEIGHT)
            assert linear.bias is not None
            # The benchmark adds b only where Z is not 0. Here it is added everywhere, to the same
            # effect: b < 0, so where Z is 0 the clipping takes b to 0. Nor does it matter how Z
            # is rounded: with Y and W >= 0 nothing cancels, so Z is 0 in every order of summing
            # or in none.
            linear.bias.fill_(bias)
            modules += [linear, nn.Hardtanh(0.0, _CEILING)]
    return nn.Sequential(*modules)


def graph_challenge_1024() -> tuple[nn.Module, Tensor]:
    """The smallest network of the benchmark, 1024 x 120, with an example of batch 64.

    The rows are zeros and ones, from no ones to 60 %, evenly. Below about 28 % a row dies, above
    it ends at 32 everywhere, so rows of one density would all give the same.
    """
    generator = torch.Generator().manual_seed(1)
    density = torch.linspace(0, 0.6, 64)[:, None]
    example = (torch.rand((64, 1024), generator=generator) < density).float()
    return graph_challenge(), example


def _digits(neurons: int) -> int:
    """The m of N = 16 * 2^m."""
    cycle, rest = divmod(neurons, _COPIES) if isinstance(neurons, int) else (0, 1)
    if rest or cycle < 2 or cycle & (cycle - 1):
        raise InputError(
            f"neurons must be 16 times a power of two, 32 at least, such as 1024, got {neurons!r}"
        )
    return cycle.bit_length() - 1


def layer_bias(neurons: int) -> float:
    """-0.3, -0.35, -0.4, -0.45 for the benchmark's widths, and on that line for the others."""
    return -(150 + 25 * _digits(neurons)) / 1000


def _check(name: str, value: int, at_least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise InputError(f"{name} must be an integer of at least {at_least}, got {value!r}")

"""Numbers as digits: the arithmetic under butterflies, Monarch, Clos, low rank and dense.

With digits of sizes `d_0 ... d_{L-1}`, least significant first, and place values
`v_l = d_0 * ... * d_{l-1}`, an index below `d_0 * ... * d_{L-1}` has digits `(i // v_l) % d_l`.
Mixing digit `l` replaces it by a new digit of size `b`; every output is joined to each input that
agrees with it in all *other* digits: `kron(I, ones(b, d_l), I_{v_l})`, which is block-diagonal
with members at a stride of `v_l`, so that the compiler needs no index list. Cascades that mix each
digit once have exactly one path from each input to each output.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import islice, permutations

import numpy as np
from scipy.sparse import csr_array

from nfcompile.topology.topology import Mask

__all__ = ["Step", "digit_edges", "digit_mask", "digit_orders", "digit_widths", "mix_digits"]

Step = tuple[int, int]
"""Which digit is mixed, and its size afterwards."""

_ORDERS_TRIED = 2000


def digit_mask(sizes: Sequence[int], digit: int, size: int) -> Mask:
    """The mask that mixes one digit: each row has `sizes[digit]` entries.

    Args:
        sizes: The digits' sizes before, least significant first.
        digit: Which of them to mix.
        size: Its size afterwards.

    Returns:
        A canonical mask of ones, `[n // sizes[digit] * size, n]` with `n` the product of
        `sizes`, built in time proportional to its entries.
    """
    before, n = sizes[digit], math.prod(sizes)
    place = math.prod(sizes[:digit])
    rows = np.arange(n // before * size, dtype=np.int64)
    first = rows // (place * size) * (place * before) + rows % place
    indices = (first[:, None] + np.arange(before, dtype=np.int64) * place).ravel()
    indptr = np.arange(0, len(indices) + 1, before, dtype=np.int64)
    return csr_array((np.ones(len(indices), np.int64), indices, indptr), shape=(len(rows), n))


def _states(sizes: Sequence[int], steps: Sequence[Step]) -> Iterator[list[int]]:
    """The digits' sizes before each step and after the last."""
    state = list(sizes)
    yield list(state)
    for digit, size in steps:
        state[digit] = size
        yield list(state)


def mix_digits(sizes: Sequence[int], steps: Sequence[Step]) -> list[Mask]:
    """The masks of a cascade that mixes digits one after the other.

    Args:
        sizes: The digits' sizes in the input.
        steps: Which digit each factor mixes, and into how many values.

    Returns:
        One mask per step, in order of application.
    """
    states = _states(sizes, steps)
    return [digit_mask(state, *step) for state, step in zip(states, steps, strict=False)]


def digit_widths(sizes: Sequence[int], steps: Sequence[Step]) -> list[int]:
    """Widths between the factors of such a cascade, input and output included."""
    return [math.prod(state) for state in _states(sizes, steps)]


def digit_edges(sizes: Sequence[int], steps: Sequence[Step]) -> int:
    """Number of entries of all masks of such a cascade."""
    states = zip(_states(sizes, steps), steps, strict=False)
    return sum(math.prod(state) * size for state, (_, size) in states)


def digit_orders(sizes: Sequence[int], steps: Sequence[Step], most: int) -> list[tuple[Step, ...]]:
    """Distinct orders in which cascades that run side by side mix the same digits.

    Rotations come first, so that branches differ already in their first factor; then the other
    permutations. An order that narrows the signal below the given one's narrowest width is left
    out. Of many digits, only the first 2,000 permutations are looked at.

    Args:
        sizes: The digits' sizes in the input.
        steps: One step per digit.
        most: Number of orders wanted.

    Returns:
        Different orders of the steps, the given one first: `most` of them, or as many as there
        are.
    """
    natural = tuple(steps)
    narrowest = min(digit_widths(sizes, natural))
    rotations = [natural[shift:] + natural[:shift] for shift in range(len(natural))]
    distinct: dict[tuple[Step, ...], None] = {}
    for order in (*rotations, *islice(permutations(natural), _ORDERS_TRIED)):
        if len(distinct) == most:
            break
        if min(digit_widths(sizes, order)) >= narrowest:
            distinct[order] = None
    return list(distinct)

"""Numbers as digits: the arithmetic under every butterfly.

With radices `d_0 ... d_{L-1}` and place values `v_l = d_0 * ... * d_{l-1}`, an index below
`n = d_0 * ... * d_{L-1}` has digits `(i // v_l) % d_l`. The mask of digit `l` joins `i` to
every `j` that differs from it in no other digit: `kron(I, ones(d_l, d_l), I_{v_l})`. The
product of all `L` masks, in any order, has exactly one path from each input to each output.
"""

from collections.abc import Sequence
from itertools import chain, islice, permutations

import numpy as np
from scipy.sparse import csr_array

from nfcompile.errors import InputError
from nfcompile.topology.topology import Mask

__all__ = ["digit_mask", "digit_orders", "radices"]


def radices(n: int, radix: int) -> tuple[int, ...]:
    """Splits `n` into as many digits of `radix` as divide it, and what remains as one digit.

    The remaining digit has to stay below `radix * radix`, where the butterfly would otherwise
    be mostly a dense layer.

    Args:
        n: Width to split.
        radix: Size of the digits.

    Returns:
        The digits' sizes, least significant first; their product is `n`.

    Raises:
        InputError: If `n` has no such factorization.
    """
    digits: list[int] = []
    rest = n
    while rest % radix == 0:
        digits.append(radix)
        rest //= radix
    if not digits or rest >= radix * radix:
        raise InputError(
            f"butterfly width n={n} must be a power of radix={radix} times one digit below "
            f"{radix * radix}; {_advice(n, radix)}"
        )
    return (*digits, rest) if rest > 1 else tuple(digits)


def _advice(n: int, radix: int) -> str:
    """Names the nearest larger width, which always exists: `radix**k * rest`."""
    power = radix
    while power * radix <= n:
        power *= radix
    return f"the nearest width above it is n={-(-n // power) * power}"


def digit_mask(sizes: Sequence[int], digit: int) -> Mask:
    """The mask that mixes one digit: each row has `sizes[digit]` entries.

    Args:
        sizes: The digits' sizes, least significant first.
        digit: Which of them to mix.

    Returns:
        A canonical `[n, n]` mask of ones, built in time proportional to its entries.
    """
    n = int(np.prod(sizes, dtype=np.int64))
    size = sizes[digit]
    place = int(np.prod(sizes[:digit], dtype=np.int64))
    rows = np.arange(n, dtype=np.int64)
    first = rows - (rows // place % size) * place
    indices = (first[:, None] + np.arange(size, dtype=np.int64) * place).ravel()
    indptr = np.arange(0, n * size + 1, size, dtype=np.int64)
    return csr_array((np.ones(n * size, dtype=np.int64), indices, indptr), shape=(n, n))


def digit_orders(length: int, count: int) -> list[tuple[int, ...]]:
    """Orders in which butterflies that run side by side mix their digits.

    Rotations come first, so that branches differ already in their first factor; then the other
    permutations. There are `length!` of them; a larger `count` starts over.

    Args:
        length: Number of digits.
        count: Number of orders wanted.

    Returns:
        `count` permutations of `range(length)`, the first one ascending.
    """
    natural = tuple(range(length))
    rotations = [natural[shift:] + natural[:shift] for shift in range(length)]
    others = (order for order in permutations(natural) if order not in rotations)
    distinct = list(islice(chain(rotations, others), count))
    return [distinct[index % len(distinct)] for index in range(count)]

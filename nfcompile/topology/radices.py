"""How widths are written as digits: one size for all of them as far as it goes, or a list."""

import math
from collections.abc import Iterator, Sequence

from nfcompile.errors import InputError
from nfcompile.topology.digits import Step

__all__ = ["divisors", "factorizations", "radices", "rectangular"]


def radices(n: int, radix: int | tuple[int, ...], name: str = "butterfly") -> tuple[int, ...]:
    """Splits `n` into as many digits of `radix` as divide it, and what remains as one digit.

    The remaining digit has to stay below `radix * radix`, where the butterfly would otherwise
    be mostly a dense layer.

    Args:
        n: Width to split.
        radix: Size of the digits, or the list of their sizes.
        name: Of the topology, for the message.

    Returns:
        The digits' sizes, least significant first; their product is `n`.

    Raises:
        InputError: If `n` has no such factorization.
    """
    if isinstance(radix, tuple):
        if math.prod(radix) != n:
            product = " * ".join(map(str, radix))
            raise InputError(
                f"{name} radices must multiply to n={n}, got {product} = {math.prod(radix)}"
            )
        return radix
    digits: list[int] = []
    rest = n
    while rest % radix == 0:
        digits.append(radix)
        rest //= radix
    if not digits or rest >= radix * radix:
        raise InputError(
            f"{name} width n={n} must be a power of radix={radix} times one digit below "
            f"{radix * radix}; {_advice(n, radix)}"
        )
    return (*digits, rest) if rest > 1 else tuple(digits)


def _advice(n: int, radix: int) -> str:
    """Names the nearest larger width, which always exists: `radix**k * rest`."""
    power = radix
    while power * radix <= n:
        power *= radix
    return f"the nearest width above it is n={-(-n // power) * power}"


def rectangular(
    inputs: Sequence[int], outputs: Sequence[int]
) -> tuple[tuple[int, ...], tuple[Step, ...]]:
    """Pairs the digits of two widths and orders them so that no cut is too narrow.

    The larger digits of both sides are paired; a missing digit has size one. Steps that narrow
    the signal come as early as the widths stay at least the smaller of the two ends.

    Args:
        inputs: Sizes of the digits of the input.
        outputs: Sizes of the digits of the output.

    Returns:
        The sizes in the input, least significant first, and the steps in order of application.
    """
    count = max(len(inputs), len(outputs))
    before, after = (
        sorted([*sizes, *[1] * (count - len(sizes))], reverse=True) for sizes in (inputs, outputs)
    )
    width = math.prod(before)
    narrowest = min(width, math.prod(after))
    waiting = list(range(count))
    steps: list[Step] = []
    while waiting:
        waiting.sort(key=lambda digit: after[digit] / before[digit])
        fits = [d for d in waiting if width // before[d] * after[d] >= narrowest]
        digit = fits[0] if fits else waiting[-1]
        waiting.remove(digit)
        width = width // before[digit] * after[digit]
        steps.append((digit, after[digit]))
    return tuple(before), tuple(steps)


def factorizations(n: int, smallest: int = 2) -> Iterator[tuple[int, ...]]:
    """All ways to write `n` as a product of factors of at least `smallest`, in rising order."""
    yield (n,)
    for factor in range(smallest, math.isqrt(n) + 1):
        if n % factor == 0:
            for rest in factorizations(n // factor, factor):
                yield (factor, *rest)


def divisors(n: int) -> list[int]:
    """All divisors of `n`, one and itself included, in rising order."""
    small = [factor for factor in range(1, math.isqrt(n) + 1) if n % factor == 0]
    return sorted({*small, *(n // factor for factor in small)})

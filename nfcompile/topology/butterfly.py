"""The butterfly: one factor per digit, exactly one path from each input to each output."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from nfcompile.errors import InputError
from nfcompile.topology.checks import check_size, check_sizes
from nfcompile.topology.digit_cascade import DigitCascade
from nfcompile.topology.digits import Step
from nfcompile.topology.radices import divisors, factorizations, radices, rectangular

__all__ = ["Butterfly", "butterfly_digits", "butterfly_radices"]


@dataclass(frozen=True)
class Butterfly(DigitCascade):
    """A butterfly of width `n`: factor `l` joins indices that differ only in digit `l`.

    Where `n` is no power of `radix`, one digit has another size: n=2048 at radix 4 has the
    digits 4, 4, 4, 4, 4, 2. At radix `sqrt(n)` it is a Monarch matrix. Where `in` and `out`
    differ, each digit has a size per side.

    Attributes:
        n: Width; `in` and `out` in text where they differ.
        radix: Inputs per output in each factor, or one number per factor: the mixed radix.
    """

    name: ClassVar[str] = "butterfly"

    radix: int | tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuses sizes that have no factorization."""
        super().__post_init__()
        object.__setattr__(self, "radix", check_radix(self.name, self.radix, self.out is not None))
        self.digits()

    @property
    def radices(self) -> tuple[int, ...]:
        """The factors' fan-ins where `in` and `out` are equal, in order of application."""
        return radices(self.n, self.radix, self.name)

    def digits(self) -> tuple[tuple[int, ...], tuple[Step, ...]]:
        """Each digit mixed once."""
        return butterfly_digits(self.n, self.out_features, self.radix, self.name)

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """All radices, mixed ones included, within the budget."""
        for radix in butterfly_radices(in_features, out_features):
            found = cls(in_features, radix, out=out_features)
            if found.edges <= edges:
                yield found


def check_radix(
    name: str, radix: int | tuple[int, ...], is_rectangular: bool
) -> int | tuple[int, ...]:
    """The radix as an integer or a tuple; raises InputError if it is neither or too small."""
    if not isinstance(radix, (list, tuple)):
        check_size(name, "radix", radix, at_least=2)
        return radix
    if is_rectangular:
        raise InputError(f"{name} radix must be one integer where in and out differ, got a list")
    return check_sizes(name, "radix", radix, at_least=2)


def butterfly_digits(
    n: int, out: int, radix: int | tuple[int, ...], name: str
) -> tuple[tuple[int, ...], tuple[Step, ...]]:
    """Digits of a butterfly of these widths, and steps that mix each once."""
    if n == out:
        sizes = radices(n, radix, name)
        return sizes, tuple(enumerate(sizes))
    assert isinstance(radix, int)
    sides = [
        (width,) if width < radix * radix and width % radix else radices(width, radix, name)
        for width in (n, out)
    ]
    return rectangular(*sides)


def butterfly_radices(n: int, out: int) -> Iterator[int | tuple[int, ...]]:
    """Every radix, or list of them, that makes a butterfly of several factors."""
    if n == out:
        for sizes in factorizations(n):
            equal = len(set(sizes)) == 1
            if len(sizes) > 1:
                yield sizes[0] if equal else sizes
        return
    # A radix that divides neither width leaves both as a single digit.
    for radix in sorted({*divisors(n), *divisors(out)}):
        if not 2 <= radix < min(n, out):
            continue
        try:
            _, steps = butterfly_digits(n, out, radix, "butterfly")
        except InputError:
            continue
        if len(steps) > 1:
            yield radix

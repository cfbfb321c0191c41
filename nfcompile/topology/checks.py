"""Rules that the parameters of all topologies share."""

from collections.abc import Sequence

from nfcompile.errors import InputError

__all__ = ["MOST_ENTRIES", "MOST_REPEATS", "WIDEST", "check_flag", "check_size", "check_sizes"]

WIDEST = 1 << 24
"""The most neurons of a layer: what is larger takes too long to factorize and to build."""

MOST_REPEATS = 1 << 16
"""The most factors, or branches, that can be asked for."""

MOST_ENTRIES = 1 << 31
"""The most entries of all masks of a topology together: 32 GiB."""

_LONGEST_LIST = 64


def check_size(
    topology: str, parameter: str, value: object, *, at_least: int, at_most: int | None = None
) -> None:
    """Raises InputError unless `value` is a plain integer within the limits."""
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise InputError(
            f"{topology} {parameter} must be an integer of at least {at_least}, got {value!r}"
        )
    if at_most is not None and value > at_most:
        raise InputError(f"{topology} {parameter} must be at most {at_most}, got {value}")


def check_sizes(
    topology: str, parameter: str, values: Sequence[int], *, at_least: int
) -> tuple[int, ...]:
    """The values as a tuple.

    Raises:
        InputError: Unless there is one at least, and each is an integer from `at_least` to
            `WIDEST`.
    """
    if not isinstance(values, (list, tuple)) or not values:
        raise InputError(f"{topology} {parameter} must be a list of integers, got {values!r}")
    if len(values) > _LONGEST_LIST:
        raise InputError(
            f"{topology} {parameter} must be at most {_LONGEST_LIST} integers, got {len(values)}"
        )
    for value in values:
        what = f"{parameter} of {list(values)}"
        check_size(topology, what, value, at_least=at_least, at_most=WIDEST)
    return tuple(values)


def check_flag(topology: str, parameter: str, value: object) -> None:
    """Raises InputError unless `value` is true or false."""
    if not isinstance(value, bool):
        raise InputError(f"{topology} {parameter} must be true or false, got {value!r}")

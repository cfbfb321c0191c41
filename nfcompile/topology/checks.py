"""Rules that the parameters of all topologies share."""

from collections.abc import Sequence

from nfcompile.errors import InputError

__all__ = ["check_flag", "check_size", "check_sizes"]


def check_size(topology: str, parameter: str, value: object, *, at_least: int) -> None:
    """Raises InputError unless `value` is a plain integer of at least `at_least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise InputError(
            f"{topology} {parameter} must be an integer of at least {at_least}, got {value!r}"
        )


def check_sizes(
    topology: str, parameter: str, values: Sequence[int], *, at_least: int
) -> tuple[int, ...]:
    """The values as a tuple; raises InputError unless each is an integer of at least that."""
    if not isinstance(values, (list, tuple)) or not values:
        raise InputError(f"{topology} {parameter} must be a list of integers, got {values!r}")
    for value in values:
        check_size(topology, f"{parameter} of {list(values)}", value, at_least=at_least)
    return tuple(values)


def check_flag(topology: str, parameter: str, value: object) -> None:
    """Raises InputError unless `value` is true or false."""
    if not isinstance(value, bool):
        raise InputError(f"{topology} {parameter} must be true or false, got {value!r}")

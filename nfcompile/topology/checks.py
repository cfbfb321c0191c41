"""Rules that the parameters of all topologies share."""

from nfcompile.errors import InputError

__all__ = ["check_size"]


def check_size(topology: str, parameter: str, value: object, *, at_least: int) -> None:
    """Raises InputError unless `value` is a plain integer of at least `at_least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise InputError(
            f"{topology} {parameter} must be an integer of at least {at_least}, got {value!r}"
        )

"""Every exception that nfcompile raises on purpose; anything else is a bug and keeps its traceback.

A message is one line: subject, rule, value, and what to do where that is not obvious.
The command line prints it and exits with the class's `exit_code`.
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "EngineMissingError",
    "InputError",
    "NfcompileError",
    "UnsupportedModelError",
    "VerificationError",
    "closest",
]


class NfcompileError(Exception):
    """Base of all errors that are the caller's or the environment's, not ours."""

    exit_code = 3


class InputError(NfcompileError):
    """An argument, option, path or encoding breaks its rule."""

    exit_code = 2


class UnsupportedModelError(NfcompileError):
    """The model cannot be read, is not valid, or is one that we cannot take."""

    exit_code = 3


class VerificationError(NfcompileError):
    """Two models that must agree do not."""

    exit_code = 1


class EngineMissingError(NfcompileError):
    """A runtime, library or package that was asked for is not installed."""

    exit_code = 4


def closest(word: str, known: Iterable[str]) -> str:
    """A clause for messages: the known word most like `word`, or else all of them."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(words)}"

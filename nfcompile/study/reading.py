"""Reads the file of a sweep and leaves it alone, even while the sweep is still writing to it."""

import json
from pathlib import Path
from typing import Any

from nfcompile.errors import InputError
from nfcompile.study.summary import Outcome, outcomes

__all__ = ["read_outcomes"]

_FORM = "a result of nfcompile topology sweep"


def read_outcomes(path: Path) -> list[Outcome]:
    """What the sweep behind a results file has found so far.

    Args:
        path: As written by `run_tasks`; a last line without its end does not count.

    Raises:
        InputError: If it cannot be read, or is no such file.
    """
    try:
        lines = path.read_text().split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"cannot read results file {path}: {reason}") from error
    if not lines:
        raise InputError(f"results file {path} must hold results, got none")
    for number, line in enumerate(lines, 1):
        try:
            outcomes([json.loads(line)])
        except (InputError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise InputError(f"{path}, line {number} must be {_FORM}, got {line[:60]!r}") from error
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return outcomes(records)

"""The file of a sweep: one JSON line for each finished task, whole even if the sweep is killed.

A line is `{"task": {...}, "result": {...}}`. Lines are only ever appended, each with one write that
is on disk before the next begins, so that a killed run can leave at most its last line cut.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nfcompile.errors import InputError

__all__ = ["Results", "canonical"]

_FORM = '{"task": {...}, "result": {...}}'
_START = b'{"task": '


def canonical(task: Mapping[str, Any]) -> str:
    """The one spelling of a task, by which it is found again: JSON with sorted keys.

    Raises:
        InputError: If the task is not flat: names to strings, numbers, booleans or None.
    """
    for name, value in task.items():
        if not isinstance(name, str) or type(value) not in (str, int, float, bool, type(None)):
            raise InputError(
                "a task must map names to str, int, float, bool or None, "
                f"got {name!r}: {value!r} of type {type(value).__name__}"
            )
    return json.dumps(task, sort_keys=True)


class Results:
    """Results by the canonical text of their task; kept in a file too where one is given.

    A context manager: the file stays open, and locked against other sweeps, until it is left.

    Args:
        path: The file, made if it is not there; nothing is kept if None.

    Raises:
        InputError: If the file cannot be written, another sweep has it open, or a line of it is
            not a result. A last line without its end, from a killed run, is cut off instead.
    """

    def __init__(self, path: Path | None) -> None:
        self._records: dict[str, dict[str, Any]] = {}
        self._path = path
        self._file = -1
        if path is None:
            return
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            self._lock(path)
            self._read(path)
        except OSError as error:
            self._close()
            raise InputError(
                f"results file {path} must be writable, got: {error.strerror}"
            ) from error
        except InputError:
            self._close()
            raise

    def __contains__(self, task: str) -> bool:
        return task in self._records

    def __getitem__(self, task: str) -> dict[str, Any]:
        return self._records[task]

    def add(self, task: str, result: str) -> None:
        """Keeps a result, both given as JSON objects; it is on disk on return.

        Raises:
            InputError: If it cannot be written.
        """
        line = f'{{"task": {task}, "result": {result}}}\n'
        if self._path is not None:
            rest = memoryview(line.encode())
            try:
                while rest:  # a disk that is filling up takes a part and refuses the next
                    rest = rest[os.write(self._file, rest) :]
                os.fsync(self._file)
            except OSError as error:
                raise InputError(
                    f"cannot write to results file {self._path}: {error.strerror}; "
                    "what it holds is kept, run again to go on"
                ) from error
        self._records[task] = json.loads(line)

    def _lock(self, path: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"results file {path} must be this sweep's own, but another one is writing to it"
            ) from error
        except OSError:
            pass  # a file system without locks

    def _read(self, path: Path) -> None:
        whole, end, cut = path.read_bytes().rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if end else [], 1):
            record = _parse(line)
            if record is None:
                raise InputError(f"{path}, line {number} must be {_FORM}, got {_shorten(line)}")
            self._records[canonical(record["task"])] = record
        if cut[: len(_START)] != _START[: len(cut)]:  # a file of something else: keep it
            number = whole.count(b"\n") + 1 + len(end)
            raise InputError(f"{path}, line {number} must be {_FORM}, got {_shorten(cut)}")
        if cut:
            os.truncate(self._file, len(whole) + len(end))

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()


def _parse(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None if it is not one."""
    try:
        found = json.loads(line)
        task, result = found["task"], found["result"]
        canonical(task)
    except (ValueError, TypeError, LookupError, AttributeError, InputError):
        return None
    return {"task": task, "result": result} if isinstance(result, dict) else None


def _shorten(line: bytes) -> str:
    text = line.decode(errors="replace")
    return repr(text if len(text) <= 60 else f"{text[:60]}...")

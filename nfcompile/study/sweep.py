"""Runs many independent tasks on all cores, or on a Dask cluster; what is done is never done again.

The engine is `dask.distributed`: it starts a lost worker again and repeats what it was doing.
Tasks and results travel and are kept as JSON, so that a result read from the file and one just
computed are the same.
"""

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from nfcompile.errors import InputError, NfcompileError
from nfcompile.study.cluster import local, remote
from nfcompile.study.results import Results, canonical

__all__ = ["Task", "run_tasks"]

Task = Mapping[str, str | int | float | bool | None]
"""What one run is given: names to plain values."""

_Function = Callable[[Task], dict[str, Any]]
_Outcome = str | Exception


def _ignore(done: int, total: int) -> None:
    pass


def run_tasks(
    tasks: Sequence[Task],
    function: _Function,
    path: Path | None,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] = _ignore,
) -> list[dict[str, Any]]:
    """Runs `function` on each task that `path` holds no result of, in no particular order.

    Without a scheduler, tasks run in processes of their own, one thread each; in this process if
    `workers` is 1 or only one task is left. Memory is not limited and a task's time neither.

    Args:
        tasks: Equal tasks, by their canonical JSON, run once.
        function: Called once per task, in any process, more than once if a worker is lost. Its
            result must be JSON; NaN and infinities are written as Python does.
        path: A file with one line of JSON for each finished task, appended to as they finish. Its
            other lines are left alone. Nothing is kept if None.
        scheduler: Address of a Dask cluster whose workers have this nfcompile installed, such as
            `tcp://host:8786`; its workers decide how many tasks run at once, so start them with
            one thread each.
        workers: Processes on this machine; as many as cores if None.
        progress: Called with the numbers of finished and of all different tasks: once before
            work begins, then as each finishes.

    Returns:
        `{"task": ..., "result": ...}` for each of `tasks`, in their order, as read back from JSON.

    Raises:
        InputError: If an argument breaks its rule, the file cannot be used, or the scheduler
            cannot be reached, has no workers or other versions of nfcompile.
        EngineMissingError: If `distributed` is not installed.
        NfcompileError: If a task raises one, once all others have run; if a task kills its worker
            again and again; or if the scheduler is lost. Whatever else a task raises is raised
            as it is, with the task in a note.
    """
    _check(scheduler, workers)
    texts = [canonical(task) for task in tasks]
    failures: dict[str, Exception] = {}
    with Results(path) as results:
        total = len(set(texts))
        left = [text for text in dict.fromkeys(texts) if text not in results]
        progress(total - len(left), total)
        # Closed by name: else a traceback keeps the cluster alive when the loop is interrupted.
        with closing(_outcomes(function, left, scheduler, workers)) as outcomes:
            for done, (text, outcome) in enumerate(outcomes, total - len(left) + 1):
                if isinstance(outcome, Exception):
                    failures[text] = outcome
                else:
                    results.add(text, outcome)
                progress(done, total)
        if failures:
            _raise(failures, min(failures, key=texts.index))
        return [results[text] for text in texts]


def _check(scheduler: str | None, workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    if workers is not None and scheduler is not None:
        raise InputError(
            f"workers are those of scheduler {scheduler}, got {workers} more: leave out one"
        )


def _raise(failures: Mapping[str, Exception], task: str) -> None:
    """Raises what `task` raised, and says which task it was."""
    error = failures[task]
    more = f"; {len(failures) - 1} more failed" if len(failures) > 1 else ""
    if isinstance(error, NfcompileError):
        raise type(error)(f"task {task}: {error}{more}") from error
    error.add_note(f"raised by task {task}{more}")
    raise error


def _run(function: _Function, task: str) -> str:
    """One task, JSON in and out."""
    result = function(json.loads(task))
    if not isinstance(result, dict):
        raise TypeError(f"the function of a sweep must return a dict, got {type(result).__name__}")
    return json.dumps(result)


def _outcomes(
    function: _Function, tasks: Sequence[str], scheduler: str | None, workers: int | None
) -> Generator[tuple[str, _Outcome]]:
    """Each task as it finishes, with its result or with what it raised."""
    if not tasks:
        return
    if scheduler is not None:
        with remote(scheduler) as (distributed, client):
            yield from _gather(distributed, client, function, tasks)
        return
    workers = min(workers or len(os.sched_getaffinity(0)), len(tasks))
    if workers > 1:
        with local(workers) as (distributed, client):
            yield from _gather(distributed, client, function, tasks)
        return
    for task in tasks:
        outcome: _Outcome
        try:
            outcome = _run(function, task)
        except Exception as error:
            outcome = error
        yield task, outcome


def _gather(
    distributed: Any, client: Any, function: _Function, tasks: Sequence[str]
) -> Iterator[tuple[str, _Outcome]]:
    # One group of keys, so that Dask hands a task to a worker only when that is free; and a new
    # one each time, so that it never takes the result of another function for ours.
    group = f"sweep-{uuid4().hex}"
    keys = [(group, number) for number in range(len(tasks))]
    futures = client.map(partial(_run, function), tasks, key=keys, pure=False)
    by_key = dict(zip(keys, tasks, strict=True))
    finished = distributed.as_completed(
        futures, loop=client.loop, with_results=True, raise_errors=False
    )
    del futures  # else the cluster keeps all results until the end
    for future, found in finished:
        yield by_key[future.key], _outcome(distributed, found)


def _outcome(distributed: Any, found: Any) -> _Outcome:
    """What a future held when it finished: the result, or what went wrong with the task.

    Its status may have changed since: a worker that dies takes its results along, and they are
    pending again.
    """
    if isinstance(found, str):
        return found
    if isinstance(found, CancelledError):
        raise NfcompileError(
            "the sweep lost its scheduler: results so far are kept, run again to go on"
        ) from found
    _, error, trace = found
    if isinstance(error, distributed.KilledWorker):
        return NfcompileError(
            f"its worker died {error.allowed_failures + 1} times, killed or out of memory: "
            "use fewer workers"
        )
    assert isinstance(error, Exception)
    return error.with_traceback(trace)

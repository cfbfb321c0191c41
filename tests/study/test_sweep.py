"""Every task is run and kept once, whatever happens to the processes that run it."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from nfcompile.errors import EngineMissingError, InputError, NfcompileError, VerificationError
from nfcompile.study.sweep import Task, run_tasks

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
cloudpickle = pytest.importorskip("cloudpickle")

N = 12


def square(task: Task) -> dict[str, Any]:
    """Leaves a file for each time it is called, and squares `i`."""
    i, folder = int(str(task["i"])), Path(str(task["folder"]))
    (folder / f"{i}-{uuid4().hex}").touch()
    return {"square": i * i, "pid": os.getpid()}


def mishap(task: Task) -> dict[str, Any]:
    """Squares `i`, but not where it is told to fail, or to be killed if it never was yet."""
    mark = Path(str(task["folder"])) / "killed"
    done = square(task)
    if task["then"] == "killed" and not mark.exists():
        mark.touch()
        assert os.getpid() != task["parent"]
        os.kill(os.getpid(), signal.SIGKILL)
    if task["then"] == "refused":
        raise VerificationError("outputs must agree")
    if task["then"] == "broken":
        raise KeyError("a bug")
    return done


def surroundings(task: Task) -> dict[str, Any]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {"pid": os.getpid(), "threads": [os.environ.get(name) for name in names]}


@pytest.fixture(scope="module", autouse=True)
def _by_value() -> Iterator[None]:
    """Workers cannot import this file, so they get its functions themselves."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two worker processes; its scheduler runs in this one."""
    # A result that was left on a killed worker is asked for until the connection times out.
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "3s"}),
        distributed.LocalCluster(
            processes=True,
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=100,
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def scheduler(cluster: Any) -> str:
    return str(cluster.scheduler_address)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


def numbered(folder: Path, numbers: Any = range(N), **more: Any) -> list[dict[str, Any]]:
    return [{"i": i, "folder": str(folder), **more} for i in numbers]


def with_mishap(folder: Path, **then: str) -> list[dict[str, Any]]:
    """Tasks of which number i ends as `then` says for `t<i>`."""
    more = {"parent": os.getpid()}
    return [
        {**task, **more, "then": then.get(f"t{task['i']}", "well")} for task in numbered(folder)
    ]


def calls(folder: Path) -> Counter[int]:
    """How often each number was worked on."""
    return Counter(int(path.name.split("-")[0]) for path in folder.glob("*-*"))


def kept(path: Path) -> list[Any]:
    """What the file holds; each line must be whole."""
    assert path.read_text().endswith("\n")
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_all_squared(tasks: list[dict[str, Any]], records: list[dict[str, Any]]) -> None:
    assert [record["task"] for record in records] == tasks
    assert [record["result"]["square"] for record in records] == [t["i"] ** 2 for t in tasks]


def test_a_cluster_runs_every_task_once_and_keeps_it(
    scheduler: str, folder: Path, tmp_path: Path
) -> None:
    path, tasks, seen = tmp_path / "r.jsonl", numbered(folder), []
    found = run_tasks(
        tasks, square, path, scheduler=scheduler, progress=lambda *now: seen.append(now)
    )
    assert_all_squared(tasks, found)
    assert len({record["result"]["pid"] for record in found} - {os.getpid()}) == 2
    assert sorted(kept(path), key=lambda record: record["task"]["i"]) == found
    assert calls(folder) == Counter(range(N))
    assert seen == [(done, N) for done in range(N + 1)]


def test_a_killed_worker_costs_no_result(scheduler: str, folder: Path, tmp_path: Path) -> None:
    path, tasks = tmp_path / "r.jsonl", with_mishap(folder, t4="killed")
    found = run_tasks(tasks, mishap, path, scheduler=scheduler)
    assert (folder / "killed").exists()
    assert calls(folder)[4] == 2
    assert_all_squared(tasks, found)
    assert Counter(record["task"]["i"] for record in kept(path)) == Counter(range(N))


def test_another_function_gets_no_results_of_the_first(scheduler: str, folder: Path) -> None:
    tasks, other = numbered(folder, range(6)), []

    def run_other(done: int, total: int) -> None:
        if done == 3:  # while the cluster still holds some of ours
            other.extend(
                run_tasks(tasks, lambda task: {"is": task["i"]}, None, scheduler=scheduler)
            )

    found = run_tasks(tasks, square, None, scheduler=scheduler, progress=run_other)
    assert_all_squared(tasks, found)
    assert [record["result"] for record in other] == [{"is": i} for i in range(6)]


def test_the_cluster_is_left_at_once_when_the_caller_raises(
    cluster: Any, scheduler: str, folder: Path, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise RuntimeError("stop")

    path = tmp_path / "r.jsonl"
    with pytest.raises(RuntimeError, match="stop") as caught:
        run_tasks(numbered(folder), square, path, scheduler=scheduler, progress=stop)
    assert caught.traceback  # which keeps all that it refers to
    deadline = time.monotonic() + 10
    while [name for name in cluster.scheduler.clients if name.startswith("Client-")]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(kept(path)) == 2


def test_dask_does_not_log_during_a_sweep_but_does_again_after_it(scheduler: str) -> None:
    loggers = [logging.getLogger(name) for name in ("distributed.client", "distributed.core")]
    heard: list[bool] = []

    def listen(done: int, total: int) -> None:
        heard.extend(logger.isEnabledFor(logging.CRITICAL) for logger in loggers if done)

    run_tasks([{"i": 0}], surroundings, None, scheduler=scheduler, progress=listen)
    assert heard == [False, False]
    assert all(logger.isEnabledFor(logging.CRITICAL) for logger in loggers)


def test_others_run_on_when_tasks_fail_and_a_rerun_runs_these_only(
    scheduler: str, folder: Path, tmp_path: Path
) -> None:
    path, tasks = tmp_path / "r.jsonl", with_mishap(folder, t3="refused", t7="broken")
    with pytest.raises(VerificationError) as caught:
        run_tasks(tasks, mishap, path, scheduler=scheduler)
    assert '"i": 3' in str(caught.value)
    assert str(caught.value).endswith("outputs must agree; 1 more failed")
    assert {record["task"]["i"] for record in kept(path)} == set(range(N)) - {3, 7}
    with pytest.raises(VerificationError):
        run_tasks(tasks, mishap, path, scheduler=scheduler)
    assert {i for i, times in calls(folder).items() if times > 1} == {3, 7}


@pytest.mark.parametrize("where", ["cluster", "here"])
def test_a_bug_in_a_task_keeps_its_traceback_and_names_the_task(
    scheduler: str, folder: Path, where: str
) -> None:
    tasks = with_mishap(folder, t7="broken")
    how: Any = {"workers": 1} if where == "here" else {"scheduler": scheduler}
    with pytest.raises(KeyError, match="a bug") as caught:
        run_tasks(tasks, mishap, None, **how)
    assert caught.traceback[-1].name == "mishap"
    (note,) = caught.value.__notes__
    assert '"i": 7' in note
    assert calls(folder) == Counter(range(N))


@pytest.mark.parametrize("bad", [{"y": {1}}, [1], None])
def test_a_result_that_is_no_json_object_fails_its_task_only(tmp_path: Path, bad: Any) -> None:
    path = tmp_path / "r.jsonl"
    with pytest.raises(TypeError, match=r"not JSON serializable|must return a dict, got "):
        run_tasks(
            [{"i": 0}, {"i": 1}], lambda task: {"y": 1} if task["i"] else bad, path, workers=1
        )
    assert kept(path) == [{"task": {"i": 1}, "result": {"y": 1}}]


def test_a_rerun_runs_only_what_is_missing(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    run_tasks(numbered(folder, range(5)), square, path, workers=1)
    before, seen = path.read_text(), []
    with path.open("a") as file:
        file.write('{"task": {"i": 5, "fold')
    tasks = numbered(folder, [7, 3, 5, 0])
    found = run_tasks(tasks, square, path, workers=1, progress=lambda *now: seen.append(now))
    assert_all_squared(tasks, found)
    assert calls(folder) == Counter([0, 1, 2, 3, 4, 5, 7])
    assert path.read_text().startswith(before)
    assert [record["task"]["i"] for record in kept(path)] == [0, 1, 2, 3, 4, 7, 5]
    assert seen == [(2, 4), (3, 4), (4, 4)]


def test_equal_tasks_run_once(folder: Path) -> None:
    tasks = numbered(folder, [1, 2, 1])
    assert_all_squared(tasks, run_tasks(tasks, square, None, workers=1))
    assert calls(folder) == Counter([1, 2])


def test_results_are_the_same_before_and_after_they_were_in_a_file(tmp_path: Path) -> None:
    def odd(task: Task) -> dict[str, Any]:
        return {"pair": (1, 2.5), "names": {3: None}}

    first = run_tasks([{"i": 0}], odd, tmp_path / "r", workers=1)
    assert first == run_tasks([{"i": 0}], odd, tmp_path / "r", workers=1)
    assert first[0]["result"] == {"pair": [1, 2.5], "names": {"3": None}}


@pytest.mark.parametrize(("count", "workers"), [(1, None), (1, 2), (3, 1), (0, None)])
def test_one_task_or_worker_needs_no_cluster(
    folder: Path, monkeypatch: pytest.MonkeyPatch, count: int, workers: int | None
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    found = run_tasks(numbered(folder, range(count)), square, None, workers=workers)
    assert [record["result"]["pid"] for record in found] == [os.getpid()] * count


def test_this_machine_gives_each_worker_one_thread_and_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = dict(os.environ)
    found = run_tasks([{"i": i} for i in range(8)], surroundings, None)
    assert os.getpid() not in {record["result"]["pid"] for record in found}
    assert [record["result"]["threads"] for record in found] == [["1"] * 3] * 8
    assert dict(os.environ) == before


def test_a_task_that_kills_its_worker_each_time_is_told(
    cluster: Any, scheduler: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    path, tasks = tmp_path / "r.jsonl", with_mishap(folder, t1="killed")
    with pytest.raises(NfcompileError, match=r'^task {.*"i": .*}: its worker died 1 times'):
        run_tasks(tasks, mishap, path, scheduler=scheduler)
    assert {record["task"]["i"] for record in kept(path)} <= set(range(N)) - {1}


# A sweep with a file of its own to run in, as a user has it. Arguments: folder, who is killed or
# waits for ever.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from nfcompile.study.sweep import run_tasks

def work(task):
    mark = Path(task["folder"]) / "killed"
    if task["i"] == task["killed"] and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if task["i"] >= task["waits"]:
        time.sleep(1000)
    return {}

if __name__ == "__main__":
    folder, killed, waits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    tasks = [{"i": i, "folder": folder, "killed": killed, "waits": waits} for i in range(9)]
    try:
        run_tasks(tasks, work, Path(folder) / "r.jsonl", workers=2)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def started(folder: Path, killed: int, waits: int) -> "subprocess.Popen[str]":
    (folder / "sweep.py").write_text(SCRIPT)
    (folder / "temporary").mkdir()
    return subprocess.Popen(
        [sys.executable, folder / "sweep.py", str(folder), str(killed), str(waits)],
        env={**os.environ, "TMPDIR": str(folder / "temporary")},
        start_new_session=True,
        # A job in the background, as on a build server, is started with interrupts ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def alive(group: int) -> list[str]:
    """Processes of a group that still run; those of them that no one waited for do not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it is gone
            continue
        if int(its_group) == group and state not in "ZX":
            found.append(path.parent.name)
    return found


def test_a_sweep_that_loses_a_worker_says_nothing_and_leaves_nothing(folder: Path) -> None:
    with started(folder, killed=3, waits=99) as process:
        said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert (folder / "killed").exists()
    assert sorted(record["task"]["i"] for record in kept(folder / "r.jsonl")) == list(range(9))
    assert not list((folder / "temporary").iterdir())


def test_an_interrupt_ends_all_workers_and_keeps_whole_lines(folder: Path) -> None:
    path = folder / "r.jsonl"
    with started(folder, killed=-1, waits=4) as process:
        deadline = time.monotonic() + 60
        while not path.exists() or path.read_bytes().count(b"\n") < 4:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")
    assert sorted(record["task"]["i"] for record in kept(path)) == list(range(4))
    while alive(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_scheduler_that_goes_away_ends_the_sweep_with_one_line(tmp_path: Path) -> None:
    def wait(task: Task) -> dict[str, Any]:
        time.sleep(0.2 * int(str(task["i"])))
        return {}

    with distributed.LocalCluster(
        processes=False, n_workers=1, threads_per_worker=2, protocol="tcp://", silence_logs=100,
        dashboard_address=None, scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
    ) as cluster:  # fmt: skip

        def leave(done: int, total: int) -> None:
            if done == 2:
                cluster.close()

        with pytest.raises(NfcompileError, match="lost its scheduler"):
            run_tasks(
                [{"i": i} for i in range(N)], wait, tmp_path / "r.jsonl",
                scheduler=cluster.scheduler_address, progress=leave,
            )  # fmt: skip
    assert len(kept(tmp_path / "r.jsonl")) == 2


@pytest.mark.parametrize(
    "address", ["nonsense", "tcp://127.0.0.1", "http://127.0.0.1:8786", "tcp://127.0.0.1:1"]
)
def test_a_scheduler_that_is_none_is_one_line(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr("nfcompile.study.cluster._CONNECT_S", 1)
    with pytest.raises(InputError, match="must be the address of a running Dask") as caught:
        run_tasks([{"i": 0}], square, None, scheduler=address)
    assert address in str(caught.value) and "\n" not in str(caught.value)


def test_a_scheduler_without_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfcompile.study.cluster._CONNECT_S", 1)
    with (
        distributed.LocalCluster(
            n_workers=0, dashboard_address=None, protocol="tcp://",
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        pytest.raises(InputError, match="has no workers: start some with 'dask worker tcp://"),
    ):  # fmt: skip
        run_tasks([{"i": 0}], square, None, scheduler=cluster.scheduler_address)


def test_workers_with_another_version_are_told(
    scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nfcompile.study.cluster._version", lambda: "0.0.1")
    with pytest.raises(InputError, match=r"tcp://.* must have nfcompile 0\.0\.1 installed, got"):
        run_tasks([{"i": 0}], square, None, scheduler=scheduler)


def test_bad_arguments_are_told_before_any_work(folder: Path, tmp_path: Path) -> None:
    tasks, path = numbered(folder, range(2)), tmp_path / "r.jsonl"
    with pytest.raises(InputError, match="workers must be at least 1, got 0"):
        run_tasks(tasks, square, path, workers=0)
    with pytest.raises(InputError, match="workers are those of scheduler a, got 2 more"):
        run_tasks(tasks, square, path, workers=2, scheduler="a")
    with pytest.raises(InputError, match="must be writable"):
        run_tasks(tasks, square, tmp_path / "missing" / "r.jsonl")
    path.write_text("broken\n")
    with pytest.raises(InputError, match="line 1 must be"):
        run_tasks(tasks, square, path)
    assert not calls(folder)


def test_a_missing_engine_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EngineMissingError, match=r"needs distributed: pip install 'nfcompile\["):
        run_tasks([{"i": 0}, {"i": 1}], surroundings, None, workers=2)

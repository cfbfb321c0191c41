"""The processes that a sweep runs on: those of a Dask cluster, or of this machine.

Whatever Dask logs, leaves behind or waits for without end is dealt with here.
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import import_module, metadata
from tempfile import TemporaryDirectory
from typing import Any

from nfcompile.errors import EngineMissingError, InputError

__all__ = ["local", "remote"]

_CONNECT_S = 5
_SILENT = logging.CRITICAL + 1
_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado", "asyncio")
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@contextmanager
def remote(address: str) -> Iterator[tuple[Any, Any]]:
    """A client of the cluster at `address`, which has workers and our version."""
    with ExitStack() as stack:
        distributed = stack.enter_context(_engine())
        if not _is_scheduler(distributed, address):
            raise InputError(
                "scheduler must be the address of a running Dask scheduler, such as "
                f"tcp://host:8786, got {address!r}"
            )
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
        stack.enter_context(client)
        try:
            client.wait_for_workers(1, timeout=_CONNECT_S)
        except TimeoutError as error:
            raise InputError(
                f"scheduler {address} has no workers: start some with 'dask worker {address}'"
            ) from error
        _check_versions(client, address)
        yield distributed, client


def _is_scheduler(distributed: Any, address: str) -> bool:
    """Asks whoever listens there what it is; a `Client` would wait for ever on some answers."""

    async def ask() -> Any:
        arguments = distributed.Security().get_connection_args("client")
        async with distributed.rpc(address, connection_args=arguments) as server:
            return await server.identity()

    async def ask_in_time() -> Any:
        return await asyncio.wait_for(ask(), _CONNECT_S)

    # In a thread: this one may run an event loop already, as in a notebook.
    with ThreadPoolExecutor(1) as thread:
        try:
            found = thread.submit(asyncio.run, ask_in_time()).result()
        except Exception:  # whatever it says, it is not Dask's scheduler
            return False
    return isinstance(found, dict) and found.get("type") == "Scheduler"


def _check_versions(client: Any, address: str) -> None:
    """The scheduler reads the function too, so it needs us as well as the workers do."""
    ours = _version()
    found = client.run(metadata.version, "nfcompile", on_error="return")
    try:
        found[address] = client.run_on_scheduler(metadata.version, "nfcompile")
    except metadata.PackageNotFoundError as error:
        found[address] = error
    for where, theirs in found.items():
        if theirs != ours:
            has = "none" if isinstance(theirs, Exception) else theirs
            raise InputError(f"{where} must have nfcompile {ours} installed, got {has}")


def _version() -> str:
    return metadata.version("nfcompile")


@contextmanager
def local(workers: int) -> Iterator[tuple[Any, Any]]:
    """A client of a cluster of processes on this machine, which ends with it."""
    with ExitStack() as stack:
        distributed = stack.enter_context(_engine())
        stack.enter_context(_environment(_ONE_THREAD))
        try:
            scratch = TemporaryDirectory(prefix="nfcompile-sweep-", ignore_cleanup_errors=True)
        except OSError as error:
            raise InputError(f"no temporary folder: {error.strerror}; set TMPDIR") from error
        settings = {
            "temporary-directory": stack.enter_context(scratch),
            # Workers that are busy in native code for minutes are not dead.
            "distributed.scheduler.worker-ttl": None,
            # No task waits behind one that may kill its worker.
            "distributed.scheduler.worker-saturation": 1.0,
        }
        stack.enter_context(import_module("dask").config.set(settings))
        cluster = stack.enter_context(
            distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=None,
                dashboard_address=None,
                # Some port is opened even without a dashboard; a fixed one may be taken.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                silence_logs=_SILENT,
            )
        )
        client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        yield distributed, client


@contextmanager
def _engine() -> Iterator[Any]:
    """The package `distributed`, kept from logging what it repairs by itself."""
    try:
        distributed = import_module("distributed")
    except ImportError as error:
        raise EngineMissingError(
            "a sweep needs distributed: pip install 'nfcompile[study]'"
        ) from error
    levels = {logger: logger.level for logger in map(logging.getLogger, _LOGGERS)}
    for logger in levels:
        logger.setLevel(_SILENT)
    try:
        yield distributed
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables that started processes see; Dask itself sets more, and leaves them behind."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

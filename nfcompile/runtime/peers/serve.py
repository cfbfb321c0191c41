"""Serves a peer over a pipe: python serve.py MODULE, where MODULE lies beside this file.

A message is a pickle of plain Python values; arrays travel as the bytes of `.npy` files, so that
the two sides may have different versions of numpy. Requests, in the order they make sense:

    {"do": "load", "model": ..., "threads": n}    what MODULE's `load` takes
    {"do": "bind", "inputs": {name: npy}}         brings inputs into the peer's own form
    {"do": "run"}                                 outputs of the bound inputs
    {"do": "time"}                                microseconds of one run, by this side's clock

A reply is {"result": ...} or {"error": text}. Between requests the process waits in `read`. It
ends when its input does.
"""

import importlib
import io
import os
import pickle
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

__all__ = ["decode", "encode", "serve"]


def encode(arrays: "dict[str, np.ndarray]") -> "dict[str, bytes]":
    """Arrays as the bytes of `.npy` files."""
    found = {}
    for name, array in arrays.items():
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        found[name] = file.getvalue()
    return found


def decode(messages: "dict[str, bytes]") -> "dict[str, np.ndarray]":
    """The arrays that `encode` took."""
    return {name: np.load(io.BytesIO(data), allow_pickle=False) for name, data in messages.items()}


class _Server:
    """What has been loaded and bound so far."""

    def __init__(self, load: Callable[[Any, int], Any]) -> None:
        self._load = load
        self._peer: Any = None
        self._call: Callable[[], Any] | None = None

    def answer(self, request: "dict[str, Any]") -> Any:
        """The result of a request."""
        do = request["do"]
        if do == "load":
            self._peer = self._load(request["model"], request["threads"])
            return None
        if do == "bind":
            self._call = self._peer.bind(decode(request["inputs"]))
            return None
        assert self._call is not None, f"{do} before bind"
        if do == "run":
            return encode(self._peer.outputs(self._call()))
        begin = time.perf_counter_ns()
        self._call()
        return (time.perf_counter_ns() - begin) / 1e3


def serve(load: Callable[[Any, int], Any], requests: BinaryIO, replies: BinaryIO) -> None:
    """Answers requests until there are no more."""
    server = _Server(load)
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            return
        try:
            reply = {"result": server.answer(request)}
        except Exception as error:  # whatever a peer raises is told to the other side
            lines = str(error).strip().splitlines() or [""]
            reply = {"error": f"{type(error).__name__}: {lines[0]}".rstrip(": ")}
        pickle.dump(reply, replies)
        replies.flush()


def main() -> None:
    """Keeps stdout for replies: what a peer prints there goes to stderr."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        load = importlib.import_module(sys.argv[1]).load
    except ImportError as error:
        message = str(error)

        def load(model: Any, threads: int) -> Any:
            raise ImportError(message)

    serve(load, sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()

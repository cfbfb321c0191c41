"""Topologies as text: `parallel-butterfly(n=1024, radix=4, parallel=2, skip=true)`."""

import dataclasses
import difflib
import re
from collections.abc import Iterable

from nfcompile.errors import InputError
from nfcompile.topology.butterfly import Butterfly
from nfcompile.topology.parallel_butterfly import ParallelButterfly
from nfcompile.topology.topology import Topology

__all__ = ["KINDS", "parse"]

KINDS: dict[str, type[Topology]] = {kind.name: kind for kind in (Butterfly, ParallelButterfly)}

_CALL = re.compile(r"\s*(?P<name>[\w-]+)\s*\((?P<arguments>[^()]*)\)\s*")


def parse(text: str) -> Topology:
    """Reads a topology from its text form, the inverse of `str(topology)`.

    Args:
        text: A name and its parameters, such as `butterfly(n=1024, radix=4)`. Parameters come
            in any order; those with a default may be left out.

    Returns:
        The topology.

    Raises:
        InputError: If the form, a name or a value is wrong; unknown names come with the
            nearest known one.
    """
    match = _CALL.fullmatch(text)
    if match is None:
        raise InputError(f"topology must read like butterfly(n=1024, radix=4), got {text!r}")
    name = match["name"]
    if name not in KINDS:
        raise InputError(f"unknown topology {name!r}; {_suggest(name, KINDS)}")
    return _build(KINDS[name], match["arguments"])


def _build(kind: type[Topology], text: str) -> Topology:
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    arguments: dict[str, int | bool] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise InputError(f"{kind.name} parameters must read name=value, got {item!r}")
        if key not in fields:
            raise InputError(f"{kind.name} has no parameter {key!r}; {_suggest(key, fields)}")
        if key in arguments:
            raise InputError(f"{kind.name} parameter {key} is given twice")
        arguments[key] = _value(kind, key, value)
    required = [f.name for f in fields.values() if f.default is dataclasses.MISSING]
    missing = [key for key in required if key not in arguments]
    if missing:
        raise InputError(f"{kind.name} needs {' and '.join(missing)}")
    return kind(**arguments)


def _value(kind: type[Topology], key: str, text: str) -> int | bool:
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    raise InputError(f"{kind.name} parameter {key} must be an integer, true or false, got {text!r}")


def _suggest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"

"""Topologies as text: `parallel-butterfly(n=1024, radix=4, parallel=2, skip=true)`."""

import dataclasses
import re
from typing import Any

from nfcompile.errors import InputError, closest
from nfcompile.topology.kinds import KINDS
from nfcompile.topology.topology import Sized, Topology

__all__ = ["find_kind", "parse"]

_CALL = re.compile(r"\s*(?P<name>[\w-]+)\s*(?:\((?P<arguments>[^()]*)\))?\s*")
_ITEM = re.compile(r"(?:[^,\[\]]|\[[^\]]*\])+")


def parse(
    text: str, *, in_features: int | None = None, out_features: int | None = None
) -> Topology:
    """Reads a topology from its text form, the inverse of `str(topology)`.

    Args:
        text: A name and its parameters, such as `butterfly(n=1024, radix=4)`, or with `in=` and
            `out=` instead of `n=` where they differ. Parameters come in any order; those with a
            default may be left out.
        in_features: Number of inputs where the text does not give it.
        out_features: Number of outputs where the text does not give it.

    Returns:
        The topology.

    Raises:
        InputError: If the form, a name or a value is wrong; unknown names come with the
            nearest known one. Also if the topology has other widths than those given here.
    """
    match = _CALL.fullmatch(text)
    if match is None:
        raise InputError(f"topology must read like butterfly(n=1024, radix=4), got {text!r}")
    kind = find_kind(match["name"])
    arguments = _arguments(kind, match["arguments"] or "")
    if issubclass(kind, Sized) and "n" not in arguments:
        ends = {"in": in_features, "out": out_features}
        given = {key: width for key, width in ends.items() if width is not None}
        arguments = given | arguments
    topology = _build(kind, arguments)
    for what, want, got in (
        ("inputs", in_features, topology.in_features),
        ("outputs", out_features, topology.out_features),
    ):
        if want is not None and want != got:
            raise InputError(f"{topology} has {got} {what}, where {want} are needed")
    return topology


def find_kind(name: str) -> type[Topology]:
    """The kind of topology of this name; raises InputError with the nearest one."""
    if name not in KINDS:
        raise InputError(f"unknown topology {name!r}; {closest(name, KINDS)}")
    return KINDS[name]


def _arguments(kind: type[Topology], text: str) -> dict[str, Any]:
    """Parameters by name as they are spelled."""
    known = {field.name for field in dataclasses.fields(kind)}
    if "out" in known:
        known |= {"in"}
    arguments: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in _ITEM.findall(text))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise InputError(f"{kind.name} parameters must read name=value, got {item!r}")
        if key not in known:
            raise InputError(f"{kind.name} has no parameter {key!r}; {closest(key, known)}")
        if key in arguments:
            raise InputError(f"{kind.name} parameter {key} is given twice")
        arguments[key] = _value(kind, key, value)
    return arguments


def _build(kind: type[Topology], arguments: dict[str, Any]) -> Topology:
    if "in" in arguments:
        if "n" in arguments:
            raise InputError(f"{kind.name} takes n, or in and out, not both")
        arguments = {"n": arguments.pop("in"), **arguments}
        arguments.setdefault("out", arguments["n"])
    required = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]
    missing = [
        "in" if key == "n" and "out" in arguments else key
        for key in required
        if key not in arguments
    ]
    if missing:
        raise InputError(f"{kind.name} needs {' and '.join(missing)}")
    return kind(**arguments)


def _value(kind: type[Topology], key: str, text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[+-]?\d{1,18}", text):
        return int(text)
    if text.startswith("[") and text.endswith("]"):
        return tuple(_value(kind, key, item.strip()) for item in text[1:-1].split(","))
    raise InputError(
        f"{kind.name} parameter {key} must be an integer, true, false or a list like [2, 4], "
        f"got {text!r}"
    )

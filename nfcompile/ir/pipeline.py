"""Pipelines are text: `fold-masks,encode-weights{max_density=0.5},fuse-epilogue`.

pipeline = pass ("," pass)*
pass     = name [ "{" option "=" value ("," option "=" value)* "}" ]
"""

import dataclasses
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import onnx_ir as ir

from nfcompile.errors import InputError, closest
from nfcompile.ir.light import light_proto
from nfcompile.ir.remarks import Remark, add_remark

__all__ = ["parse_pipeline", "run_pipeline"]

Factory = Callable[..., ir.passes.PassBase]
NamedPass = tuple[str, ir.passes.PassBase]

_PASS = re.compile(r"\s*([A-Za-z0-9_-]+)\s*(?:\{([^{}]*)\})?\s*(,|$)")


def parse_pipeline(text: str, registry: Mapping[str, Factory]) -> list[NamedPass]:
    """Makes the passes that `text` names.

    Args:
        text: The pipeline; empty for none.
        registry: Pass classes by name.

    Raises:
        InputError: If a name, option or value is not known, or the text does not parse.
    """
    made: list[NamedPass] = []
    position = 0
    while position < len(text.rstrip()):
        match = _PASS.match(text, position)
        if match is None:
            raise InputError(
                f"pipeline text must be name{{option=value}},…, got {text[position:]!r}"
            )
        name, options, _ = match.groups()
        if name not in registry:
            raise InputError(f"unknown pass {name!r}: {closest(name, list(registry))}")
        made.append((name, _make(name, registry[name], options or "")))
        position = match.end()
    return made


def _make(name: str, factory: Factory, text: str) -> ir.passes.PassBase:
    own: Any = factory
    known = dataclasses.fields(own) if dataclasses.is_dataclass(own) else ()
    fields = {field.name: field for field in known if field.metadata.get("text", True)}
    options: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = item.partition("=")
        key = key.strip()
        if key not in fields:
            raise InputError(
                f"pass {name} has no option {key!r}: "
                + (closest(key, list(fields)) if fields else "it has no options")
            )
        if not equals:
            raise InputError(f"option {key} of pass {name} needs a value: {key}=…")
        options[key] = _convert(name, fields[key], value.strip())
    return factory(**options)


def _convert(name: str, field: "dataclasses.Field[Any]", text: str) -> Any:
    kind: Any = type(field.default)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (KeyError, ValueError):
        raise InputError(
            f"option {field.name} of pass {name} must be a {kind.__name__}, got {text!r}"
        ) from None


def run_pipeline(
    model: ir.Model,
    passes: Sequence[NamedPass],
    *,
    after: Callable[[str, ir.Model, float], None] | None = None,
) -> None:
    """Runs `passes` on `model` in place and checks that what they make is still valid.

    After a pass that says that it changed nothing the check is left out, but for the last.

    Args:
        model: The model to rewrite.
        passes: What `parse_pipeline` gave.
        after: Called after each pass with its name, the model and the seconds it took.
    """
    was_valid = _complaint(model)
    if was_valid:
        add_remark(
            model,
            Remark(
                "checker",
                "note",
                model.graph.name or "model",
                f"not valid as it came: {was_valid}",
            ),
        )
    for name, step in passes:
        start = time.perf_counter()
        modified = step(model).modified
        seconds = time.perf_counter() - start
        checked = not was_valid and (modified or step is passes[-1][1])
        if checked and (complaint := _complaint(model)):
            raise AssertionError(f"pass {name} left the model invalid: {complaint}")
        if after is not None:
            after(name, model, seconds)


def _complaint(model: ir.Model) -> str:
    """The first line of what ONNX's checker says against `model`; empty if nothing."""
    try:
        onnx.checker.check_model(light_proto(model))
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        return str(error).strip().splitlines()[0]
    return ""

"""Remarks: what a pass did or refused to do, and why; and the decision taken for each layer.

Both travel in the model itself, as JSON in its metadata, so that `nfcompile explain` can tell them
from the file alone.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import onnx_ir as ir

__all__ = [
    "Decision",
    "Kind",
    "Remark",
    "add_remark",
    "compiled_for",
    "decisions",
    "is_narrow",
    "remarks",
    "set_decisions",
    "write_metadata",
]

Kind = Literal["applied", "missed", "note"]

_REMARKS = "nfcompile.remarks"
_DECISIONS = "nfcompile.decisions"


@dataclass(frozen=True)
class Remark:
    """One sentence from a pass about one part of the model.

    Attributes:
        pass_name: The pass that says it.
        kind: `applied`: rewritten; `missed`: refused, with the reason; `note`: worth knowing.
        subject: A name from the user's model.
        reason: Why, in a clause.
    """

    pass_name: str
    kind: Kind
    subject: str
    reason: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason} [{self.pass_name}]"


@dataclass(frozen=True)
class Decision:
    """How one linear layer is stored and run.

    Attributes:
        layer: The layer's name in the user's model.
        weight: The weight's name.
        shape: (out, in).
        density: Non-zeros over size, in [0, 1].
        pattern: What the zeros look like, such as `unstructured` or `blocks 16x16`.
        encoding: The chosen encoding, such as `csr`.
        bytes_dense: Size of the dense weight.
        bytes_encoded: Size of the chosen encoding.
        estimates_us: Estimated microseconds by encoding at the decision's batch sizes, summed.
        reason: Why this encoding: estimated, or measured with the times.
        batches: The batch sizes that the decision counted.
        measured_us: Measured median microseconds by pattern, at each of them; empty where the
            decision goes by estimates. Those are kept beside what was measured.
    """

    layer: str
    weight: str
    shape: tuple[int, int]
    density: float
    pattern: str
    encoding: str
    bytes_dense: int
    bytes_encoded: int
    estimates_us: dict[str, float]
    reason: str
    batches: tuple[int, ...] = ()
    measured_us: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, item: dict[str, Any]) -> "Decision":
        """The decision that `dataclasses.asdict` and JSON made `item` of, maybe long ago."""
        lists = {name: tuple(item.get(name, ())) for name in ("shape", "batches")}
        measured = {name: tuple(us) for name, us in item.get("measured_us", {}).items()}
        return cls(**{**item, **lists, "measured_us": measured})


def add_remark(model: ir.Model, remark: Remark) -> None:
    """Appends a remark to those of the model, once."""
    if remark not in remarks(model):
        model.meta[_REMARKS].append(remark)


def remarks(model: ir.Model) -> tuple[Remark, ...]:
    """All remarks of the model so far, or those read from its file."""
    if _REMARKS not in model.meta:
        stored = json.loads(model.metadata_props.get(_REMARKS, "[]"))
        model.meta[_REMARKS] = [Remark(**item) for item in stored]
    return tuple(model.meta[_REMARKS])


def set_decisions(model: ir.Model, taken: list[Decision]) -> None:
    """Records the decisions of the model, one per linear layer."""
    model.meta[_DECISIONS] = taken


def decisions(model: ir.Model) -> tuple[Decision, ...]:
    """The decisions of the model, or those read from its file."""
    if _DECISIONS not in model.meta:
        stored = json.loads(model.metadata_props.get(_DECISIONS, "[]"))
        model.meta[_DECISIONS] = [Decision.from_json(item) for item in stored]
    return tuple(model.meta[_DECISIONS])


def compiled_for(model: ir.Model) -> str:
    """The target that the model was compiled for; empty if it was not compiled."""
    return model.metadata_props.get("nfcompile.target", "")


def is_narrow(model: ir.Model) -> bool:
    """Whether the model was compiled for a precision below fp32: it is compared as such."""
    return model.metadata_props.get("nfcompile.precision", "fp32") != "fp32"


def write_metadata(model: ir.Model, **extra: str) -> None:
    """Moves remarks and decisions into the metadata that is saved with the model.

    Args:
        model: The compiled model.
        **extra: Further entries; `target="ort-cpu"` becomes `nfcompile.target`.
    """
    model.metadata_props[_REMARKS] = _dump(remarks(model))
    model.metadata_props[_DECISIONS] = _dump(decisions(model))
    for key, value in extra.items():
        model.metadata_props[f"nfcompile.{key}"] = value


def _dump(items: tuple[Remark, ...] | tuple[Decision, ...]) -> str:
    return json.dumps([dataclasses.asdict(item) for item in items], separators=(",", ":"))

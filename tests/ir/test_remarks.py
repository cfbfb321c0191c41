"""Decisions travel in the file, and those of older files are still read."""

import json

import onnx_ir as ir
from support import model

from nfcompile.ir.remarks import Decision, decisions, set_decisions, write_metadata

TEXT = "agraph (float[b,4] x) => (float[b,4] y) { y = Relu(x) }"
TAKEN = Decision(
    "fc", "w", (4, 4), 0.5, "unstructured", "csr", 64, 40, {"dense": 2.0}, "measured 2.0x faster",
    (1, 16), {"dense": (1.5, 3.0), "unstructured": (1.0, 1.0)},
)  # fmt: skip


def test_what_is_written_is_read() -> None:
    source = model(TEXT)
    set_decisions(source, [TAKEN])
    write_metadata(source)
    assert decisions(ir.from_proto(ir.to_proto(source))) == (TAKEN,)


def test_a_decision_from_before_there_were_measured_times_is_read() -> None:
    source = model(TEXT)
    set_decisions(source, [TAKEN])
    write_metadata(source)
    (stored,) = json.loads(source.metadata_props["nfcompile.decisions"])
    old = {name: stored[name] for name in stored if name not in ("batches", "measured_us")}
    source.metadata_props["nfcompile.decisions"] = json.dumps([old])
    (read,) = decisions(ir.from_proto(ir.to_proto(source)))
    assert (read.batches, read.measured_us) == ((), {})
    assert (read.shape, read.estimates_us) == ((4, 4), {"dense": 2.0})

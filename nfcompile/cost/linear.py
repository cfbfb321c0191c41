"""What a linear layer costs: microseconds per call, from a few measured constants.

    time(batch) = overhead + max(batch * stored * ns_per_mac, nbytes / bytes_per_ns)
                + batch * (in + out) * ns_per_io

The constants live in `calibration.py`, each with where it was measured.
"""

from nfcompile.cost.calibration import constants
from nfcompile.ir.candidates import Candidate
from nfcompile.target import Target

__all__ = ["DEFAULT_BATCHES", "estimate_us"]

DEFAULT_BATCHES = (1, 16, 64, 256)
"""Batch sizes that count where the model's batch is dynamic."""


def estimate_us(candidate: Candidate, batch: int, target: Target) -> float:
    """Estimated microseconds of one call.

    Args:
        candidate: Encoding and shape of the weight.
        batch: Rows of the activations.
        target: Where it runs; threads share the work.
    """
    costs = constants(candidate, target)
    out_features, in_features = candidate.shape
    macs = costs.ns_per_mac(batch) * batch * candidate.stored
    traffic = candidate.nbytes / costs.bytes_per_ns
    moved = costs.ns_per_io * batch * (in_features + out_features)
    return costs.overhead_us + (max(macs, traffic) + moved) / target.threads / 1e3

"""Honest timing: outputs compared first, runs interleaved, medians with spread."""

from nfcompile.bench.harness import Row, compare

__all__ = ["Row", "compare"]

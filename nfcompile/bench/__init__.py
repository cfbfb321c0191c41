"""Honest timing: outputs compared first, runs interleaved, medians with spread."""

from nfcompile.bench.harness import Row, compare
from nfcompile.runtime.timing import time_calls, time_runners

__all__ = ["Row", "compare", "time_calls", "time_runners"]

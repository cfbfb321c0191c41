"""Measures the candidates of layers on this machine, in bounded time, and remembers what it saw."""

from nfcompile.tuning.cache import TuningCache, cache_folder
from nfcompile.tuning.machine import machine
from nfcompile.tuning.tuner import TUNE_SECONDS, Tuner, check_seconds

__all__ = ["TUNE_SECONDS", "Tuner", "TuningCache", "cache_folder", "check_seconds", "machine"]

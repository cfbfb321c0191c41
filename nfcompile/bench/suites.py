"""The suites by name: what each measures, with which engines, at which batch sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nfcompile.bench.case import Case
from nfcompile.bench.cases import CASES
from nfcompile.bench.contenders import CONTENDERS, REFERENCE, Contender
from nfcompile.bench.networks import NETWORKS
from nfcompile.errors import InputError, closest

__all__ = ["SUITES", "Suite", "pick_suite"]


@dataclass(frozen=True)
class Suite:
    """Cases, and how they are measured by default.

    Attributes:
        title: Of its page.
        cases: In the order in which they run.
        engines: Names of the contenders that mean something there.
        batches: Batch sizes.
    """

    title: str
    cases: tuple[Case, ...]
    engines: tuple[str, ...]
    batches: tuple[int, ...]

    def pick_cases(self, patterns: Sequence[str] | None) -> list[Case]:
        """The cases whose names begin with one of `patterns`; all by default.

        Raises:
            InputError: If a pattern fits none.
        """
        for pattern in patterns or ():
            if not any(case.name.startswith(pattern) for case in self.cases):
                known = closest(pattern, [case.name for case in self.cases])
                raise InputError(f"no case begins with {pattern!r}; {known}")
        wanted = ("",) if patterns is None else tuple(patterns)
        return [case for case in self.cases if case.name.startswith(wanted)]

    def pick_contenders(self, names: Sequence[str] | None) -> list[Contender]:
        """The contenders of these names, the suite's by default; the reference in any case.

        Raises:
            InputError: If there is no such name.
        """
        known = [item.name for item in CONTENDERS]
        for name in names or ():
            if name not in known:
                raise InputError(f"unknown engine {name!r}; {closest(name, known)}")
        wanted = (REFERENCE, *(self.engines if names is None else names))
        return [item for item in CONTENDERS if item.name in wanted]


def pick_suite(name: str) -> Suite:
    """The suite of this name.

    Raises:
        InputError: If there is none.
    """
    if name not in SUITES:
        raise InputError(f"unknown suite {name!r}; {closest(name, list(SUITES))}")
    return SUITES[name]


SUITES: Mapping[str, Suite] = {
    "cpu": Suite(
        "CPU suite",
        CASES,
        tuple(item.name for item in CONTENDERS if "cuda" not in item.name),
        batches=(1, 7, 16, 64, 256),
    ),
    "gpu": Suite(
        "GPU suite",
        CASES,
        tuple(item.name for item in CONTENDERS if "cuda" in item.name),
        batches=(1, 16, 256, 4096),
    ),
    "networks": Suite(
        "Networks",
        NETWORKS,
        (
            "ort",
            "ort-int8",
            "nfcompile",
            "nfcompile-bf16",
            "portable",
            "openvino",
            "openvino-default",
            "torch",
            "deepsparse",
        ),
        batches=(1, 16),
    ),
}
"""All suites."""

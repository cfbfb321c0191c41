"""What layers take on this machine, measured instead of estimated, by whoever can run them.

Passes ask for costs and never run a model, so the function that does is given to them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nfcompile.ir.candidates import Candidate
from nfcompile.sparse import CsrTensor
from nfcompile.target import Target

__all__ = ["LayerTimer", "Measurement", "Measurements", "worth_measuring"]

_HOPELESS = 3.0


@dataclass(frozen=True)
class Measurement:
    """The time of a call at one batch size.

    Attributes:
        median_us: Median, microseconds.
        noise_us: How far another run's median may lie from it, microseconds.
    """

    median_us: float
    noise_us: float = 0.0

    def __add__(self, other: "Measurement") -> "Measurement":
        noise = math.hypot(self.noise_us, other.noise_us)
        return Measurement(self.median_us + other.median_us, noise)

    def below(self, other: "Measurement") -> bool:
        """Whether it is faster by more than the noise of both."""
        return self.median_us + self.noise_us < other.median_us - other.noise_us


Measurements = tuple[Measurement, ...]
"""One at each batch size that counts."""


class LayerTimer(Protocol):
    """Measures the candidates of a layer side by side."""

    def __call__(
        self,
        dense: Candidate,
        sparse: Sequence[Candidate],
        csr: Callable[[], CsrTensor],
        batches: Sequence[int],
        target: Target,
    ) -> Mapping[Candidate, Measurements] | None:
        """Times by candidate; None if the layer is not measured, and estimates have to do.

        Args:
            dense: The dense encoding, which is always measured with the others.
            sparse: The others; none where only the dense layer's time is asked for. One that does
                not run, or gives other results, is missing in what is returned.
            csr: Gives the weight's non-zeros.
            batches: Batch sizes that count.
            target: Where the model will run.
        """
        ...


def worth_measuring(
    times: Mapping[Candidate, Sequence[float]], sparse: Sequence[Candidate]
) -> list[Candidate]:
    """Those of `sparse` that are estimated within 3 times the best estimate at some batch.

    Args:
        times: Estimated microseconds at each batch size, of all candidates.
        sparse: The ones in question.
    """
    best = [min(at) for at in zip(*times.values(), strict=True)]
    return [
        item
        for item in sparse
        if any(time <= _HOPELESS * least for time, least in zip(times[item], best, strict=True))
    ]

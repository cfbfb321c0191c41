"""Layers are measured once, within the budget, and what is left over is said."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nfcompile.cost.measured import Measurement, Measurements
from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.ir.candidates import Candidate, dense_candidate
from nfcompile.sparse import CsrTensor
from nfcompile.target import Target
from nfcompile.tuning import Tuner, TuningCache, check_seconds

TARGET = Target("ort-cpu", 1, "avx2")
BATCHES = (1, 64)


class Machine:
    """Takes 10 s for each layer, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.runs: list[tuple[int, int]] = []
        self.allowed: list[float] = []

    def clock(self) -> float:
        return self.now

    def measure(
        self, dense: Candidate, sparse: Sequence[Candidate], csr: Any, batches: Any, target: Any,
        left_s: float,
    ) -> Mapping[Candidate, Measurements] | None:  # fmt: skip
        self.allowed.append(left_s)
        self.runs.append(dense.shape)
        self.now += min(10.0, left_s)
        if dense.shape == (7, 7):
            raise UnsupportedModelError("too large")
        if left_s < 10:
            return None
        return {item: (Measurement(1.0),) * len(batches) for item in (dense, *sparse)}


def ask(tuner: Tuner, size: int, stored: int = 1000, batches: Sequence[int] = BATCHES) -> Any:
    csr = Candidate("csr", "unstructured", (size, size), stored, 0)
    found = tuner(dense_candidate((size, size)), [csr], nothing, batches, TARGET)
    return None if found is None else found[csr]


def nothing() -> CsrTensor:
    return CsrTensor.from_dense(np.zeros((1, 1), np.float32))


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[Tuner, Machine]]:
    def make(budget_s: float = 100.0, tell: Any = lambda *said: None) -> tuple[Tuner, Machine]:
        here = Machine()
        cache = TuningCache(tmp_path, {"cpu": "A"})
        made = Tuner(budget_s, cache, tell, measure=here.measure, clock=here.clock)
        return made, here

    return make


def test_layers_that_are_alike_are_measured_once(made: Any) -> None:
    tuner, here = made()
    first = ask(tuner, 64)
    assert first == (Measurement(1.0),) * 2
    assert ask(tuner, 64, 1004) == first
    assert here.runs == [(64, 64)]
    ask(tuner, 64, 1200)
    ask(tuner, 64, batches=(1,))
    ask(tuner, 65)
    assert len(here.runs) == 4


def test_the_next_compilation_knows_them(made: Any) -> None:
    ask(made()[0], 64)
    tuner, here = made()
    assert ask(tuner, 64) == (Measurement(1.0),) * 2
    assert not here.runs
    assert tuner.notes() == ["distinct layers: 0 measured in 0.0 s, 1 known from before"]


def test_when_the_budget_is_used_up_the_rest_is_left_and_told(made: Any) -> None:
    tuner, here = made(25.0)
    answers = [ask(tuner, size) for size in (1, 2, 3, 4, 4, 1)]
    assert [answer is not None for answer in answers] == [True, True, False, False, False, True]
    assert here.allowed == [25.0, 15.0, 5.0]
    assert here.now == 25.0
    measured, rest = tuner.notes()
    assert measured.startswith("distinct layers: 2 measured in 25.0 s")
    assert rest.startswith("distinct layers left to estimates: 2, since the 25 s")


def test_a_layer_that_cannot_be_measured_is_tried_once(made: Any) -> None:
    tuner, here = made()
    assert ask(tuner, 7) is None
    assert ask(tuner, 7) is None
    assert len(here.runs) == 1
    assert "too large to be measured" in tuner.notes()[1]


def test_it_tells_what_is_measured_and_the_time_spent(made: Any) -> None:
    told: list[tuple[str, float, float]] = []
    tuner, _ = made(tell=lambda *said: told.append(said))
    ask(tuner, 64)
    ask(tuner, 32)
    assert told[0] == ("measuring 64x64: dense, unstructured", 0.0, 100.0)
    assert told[2] == ("measuring 32x32: dense, unstructured", 10.0, 100.0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_a_number_above_zero(seconds: float) -> None:
    with pytest.raises(InputError, match="tune-seconds must be a number above 0"):
        check_seconds(seconds)

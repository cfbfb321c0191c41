"""Measured times overrule estimates, and their noise is a tie."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from support import unstructured

from nfcompile.cost.choice import Choice
from nfcompile.cost.encoding import best_encoding
from nfcompile.cost.layer_cost import Cost, alike, gain, slower_nowhere, together, worst
from nfcompile.cost.measured import Measurement, Measurements, worth_measuring
from nfcompile.cost.products import cost_of_matrix
from nfcompile.ir.candidates import Candidate, dense_candidate
from nfcompile.sparse import CsrTensor
from nfcompile.target import Target

TARGET = Target("ort-cpu", 1, "avx2")
WEIGHT = CsrTensor.from_dense(unstructured(np.random.default_rng(0), (256, 256), 0.05))
BATCHES = (1, 64)


def at(*medians: float, noise: float = 0.0) -> Measurements:
    return tuple(Measurement(median, noise) for median in medians)


class Timer:
    """Gives what it was told, by kind, and remembers what it was asked for."""

    def __init__(self, **times: Measurements | None) -> None:
        self.times = times
        self.asked: list[list[str]] = []

    def __call__(
        self, dense: Candidate, sparse: Sequence[Candidate], csr: Any, batches: Any, target: Any
    ) -> Mapping[Candidate, Measurements] | None:
        self.asked.append([item.kind for item in (dense, *sparse)])
        if self.times["dense"] is None:
            return None
        found = {item: self.times.get(item.kind) for item in (dense, *sparse)}
        return {item: times for item, times in found.items() if times is not None}


def chosen(timer: Timer | None, **options: Any) -> Choice:
    return best_encoding(
        WEIGHT.shape, WEIGHT.stored, lambda: WEIGHT, BATCHES, TARGET, timer=timer, **options
    )


def test_what_is_measured_faster_is_taken_with_its_times_as_the_reason() -> None:
    choice = chosen(Timer(dense=at(10, 400), csr=at(5, 50)))
    assert choice.candidate.kind == "csr"
    assert choice.reason == (
        "measured 4.0x faster than dense: 5.0, 50.0 us against 10.0, 400 at batch 1, 64"
    )
    assert choice.measured_us == {"dense": (10, 400), "unstructured": (5, 50)}
    assert choice.measured == at(5, 50)
    assert choice.estimates_us.keys() == {"dense", "unstructured"}


def test_sparse_measured_slower_at_one_batch_stays_dense_whatever_the_estimate() -> None:
    assert chosen(None).candidate.kind == "csr"
    choice = chosen(Timer(dense=at(10, 400), csr=at(11, 50)))
    assert choice.candidate.kind == "dense"
    assert choice.reason.startswith("unstructured is measured at up to 1.10x the time of dense: ")
    assert choice.measured == at(10, 400)


def test_a_gain_within_the_noise_at_one_batch_stays_dense() -> None:
    for noise, kind in ((0.4, "csr"), (0.6, "dense")):
        timer = Timer(dense=at(10, 400, noise=noise), csr=at(9, 50, noise=noise))
        assert chosen(timer).candidate.kind == kind
    assert "dense within the noise" in chosen(timer).reason
    assert chosen(Timer(dense=at(10, 10), csr=at(10, 10))).candidate.kind == "dense"


def test_without_an_answer_estimates_decide() -> None:
    for timer in (Timer(dense=None), Timer(dense=at(1, 1))):  # or none but of dense
        assert chosen(timer).reason == chosen(None).reason
        assert chosen(timer).measured_us == {}


def test_a_forced_encoding_is_not_measured() -> None:
    timer = Timer(dense=at(1, 1))
    assert "forced" in chosen(timer, force="csr").reason
    assert not timer.asked


def test_what_is_estimated_three_times_slower_everywhere_is_not_worth_it() -> None:
    first, second, third = (Candidate("csr", str(i), (8, 8), 1, 1) for i in range(3))
    times = {dense_candidate((8, 8)): (1.0, 9.0), first: (3.1, 3.1), second: (4.0, 1.0)}
    assert worth_measuring({**times, third: (3.0, 99.0)}, [first, second, third]) == [second, third]


def test_a_layer_that_is_dense_without_a_choice_is_measured_for_its_cost() -> None:
    timer = Timer(dense=at(3, 4))
    full = np.ones((16, 16), np.float32)
    cost, kind = cost_of_matrix(full, BATCHES, TARGET, timer)
    assert (kind, cost.measured) == ("dense", at(3, 4))
    assert timer.asked == [["dense"]]
    assert cost_of_matrix(full, BATCHES, TARGET)[0] == Cost(cost.estimated)


def test_like_is_compared_with_like() -> None:
    known, guessed = Cost((1.0,), at(9)), Cost((2.0,))
    assert alike([known, guessed]) == [Cost((1.0,)), guessed]
    assert alike([known, known]) == [known, known]
    assert together([known, guessed]) == Cost((3.0,))
    assert together([known, known]) == Cost((2.0,), at(18))
    assert slower_nowhere(known, guessed)
    assert gain(known, guessed) == "estimated 2.0x faster"
    assert gain(known, Cost((1.0,), at(27))) == "measured 3.0x faster"
    assert worst(known, Cost((1.0,), at(3)), (64,)) == "measured at 3.00x the time at batch 64"


@pytest.mark.parametrize(
    ("new", "estimate", "never_slower"),
    [(12, 0.1, False), (8, 9.0, True), (10.5, 0.9, True), (9.5, 1.1, False)],
)
def test_beyond_the_noise_measurements_decide_and_within_it_estimates(
    new: float, estimate: float, never_slower: bool
) -> None:
    before = Cost((1.0,), at(10, noise=0.5))
    assert slower_nowhere(Cost((estimate,), at(new, noise=0.5)), before) is never_slower


def test_noise_adds_up_as_of_independent_runs() -> None:
    assert Measurement(1.0, 3.0) + Measurement(2.0, 4.0) == Measurement(3.0, 5.0)

"""Timing is interleaved, checked and summed up honestly; how long it takes is never tested."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support import model_proto, unstructured

from nfcompile.bench import compare
from nfcompile.bench.harness import time_calls, time_runners
from nfcompile.bench.statistics import summarize_samples
from nfcompile.errors import InputError, VerificationError
from nfcompile.runtime.engine import TimedCall

W = unstructured(np.random.default_rng(0), (8, 8), 0.5)
TEXT = "agraph (float[{batch},8] x) => (float[{batch},8] y) {{ y = MatMul(x, w) }}"


def save(path: Path, batch: str = "b", weight: np.ndarray = W) -> Path:
    onnx.save(model_proto(TEXT.format(batch=batch), w=weight), path)
    return path


def test_median_percentile_and_spread_are_those_of_numpy() -> None:
    samples = np.random.default_rng(0).exponential(size=101)
    timing = summarize_samples(samples)
    assert timing.median_us == pytest.approx(np.median(samples))
    assert timing.p95_us == pytest.approx(np.percentile(samples, 95))
    quartiles = np.percentile(samples, [25, 75])
    assert timing.spread == pytest.approx((quartiles[1] - quartiles[0]) / np.median(samples))


def test_models_take_turns_and_the_first_is_the_baseline(tmp_path: Path) -> None:
    paths = [save(tmp_path / "a.onnx"), save(tmp_path / "b.onnx")]
    rows = compare(paths, [2, 5], threads=1, warmup_s=0, time_s=0.01)
    assert [(row.batch, row.model) for row in rows] == [
        (2, "a.onnx"), (2, "b.onnx"), (5, "a.onnx"), (5, "b.onnx"),
    ]  # fmt: skip
    assert rows[1].ratio == pytest.approx(rows[0].median_us / rows[1].median_us)


def recorders(log: list[str], us: float = 1.0) -> list[TimedCall]:
    def recorder(name: str) -> TimedCall:
        def call() -> float:
            log.append(name)
            return us

        return call

    return [recorder(name) for name in "ab"]


def test_calls_alternate_and_so_does_who_goes_first() -> None:
    log: list[str] = []
    samples = time_calls(recorders(log), 0.0, 1e-9)
    assert samples == [[1.0] * 5, [1.0] * 5]
    assert "".join(log) == "abbaabbaab"


def test_a_turn_of_some_length_begins_with_an_untimed_call() -> None:
    log: list[str] = []
    samples = time_calls(recorders(log), 0.0, 1e-9, turn_s=1e-12)
    assert "".join(log) == "aabbbbaaaabbbbaaaabb"
    assert [len(item) for item in samples] == [5, 5]


def test_long_calls_settle_by_themselves() -> None:
    log: list[str] = []
    time_calls(recorders(log, us=1e5), 0.0, 1e-9, turn_s=1e-12)
    assert "".join(log) == "aabb" + "baabbaab"


def test_a_turn_lasts_as_long_as_asked() -> None:
    log: list[str] = []
    samples = time_calls(recorders(log), 0.0, 1e-9, turn_s=1e-3)
    assert min(map(len, samples)) > 5


def test_few_rounds_are_enough_where_calls_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr("nfcompile.bench.harness.time.perf_counter", lambda: float(next(clock)))
    samples = time_calls(recorders([]), 0.0, 1.0)
    assert [len(item) for item in samples] == [2, 2]


def test_runners_are_timed_by_calls_of_their_own() -> None:
    class Stub:
        def timed(self, inputs: object) -> TimedCall:
            return lambda: 7.0

    assert time_runners([Stub()], {}, 0.0, 1e-9) == [[7.0] * 5]  # type: ignore[list-item]


def test_the_default_batch_is_the_fixed_one(tmp_path: Path) -> None:
    path = save(tmp_path / "a.onnx", batch="4")
    assert [row.batch for row in compare([path], warmup_s=0, time_s=0.01)] == [4]


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = [save(tmp_path / "a.onnx"), save(tmp_path / "other" / "a.onnx")]
    rows = compare(paths, [1], warmup_s=0, time_s=0.01)
    assert len({row.model for row in rows}) == 2


def test_a_mismatch_is_an_error_not_a_row(tmp_path: Path) -> None:
    paths = [save(tmp_path / "a.onnx"), save(tmp_path / "b.onnx", weight=W * 1.01)]
    with pytest.raises(VerificationError, match=r"b\.onnx must agree with a\.onnx"):
        compare(paths, [1], warmup_s=0, time_s=0.01)


def test_a_fixed_batch_takes_its_own_size_only(tmp_path: Path) -> None:
    path = save(tmp_path / "a.onnx", batch="4")
    assert compare([path], [4], warmup_s=0, time_s=0.01)[0].batch == 4
    with pytest.raises(InputError, match="fixes its batch to 4, got batch 1"):
        compare([path], [1], warmup_s=0, time_s=0.01)


@pytest.mark.parametrize(("warmup", "seconds"), [(-1, 1), (0, 0), (0, -1)])
def test_bad_times_are_told(tmp_path: Path, warmup: float, seconds: float) -> None:
    with pytest.raises(InputError, match="seconds must be positive"):
        compare([save(tmp_path / "a.onnx")], [1], warmup_s=warmup, time_s=seconds)

"""Timing is interleaved, checked and summed up honestly; how long it takes is never tested."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support import model_proto, unstructured

import nfcompile
from nfcompile.bench import compare
from nfcompile.bench.statistics import summarize_samples
from nfcompile.errors import InputError, VerificationError

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


def test_a_model_in_bf16_is_compared_as_such(tmp_path: Path) -> None:
    weight = unstructured(np.random.default_rng(1), (256, 256), 0.05)
    onnx.save(
        model_proto("agraph (float[b,256] x) => (float[b,256] y) { y = MatMul(x, w) }", w=weight),
        tmp_path / "a.onnx",
    )
    narrow = nfcompile.compile(tmp_path / "a.onnx", threads=1, precision="bf16")
    assert narrow.decisions[0].encoding == "csr"
    narrow.save(tmp_path / "b.onnx")
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    assert len(compare(paths, [3], threads=1, warmup_s=0, time_s=0.01)) == 2


def test_the_default_batch_is_the_fixed_one(tmp_path: Path) -> None:
    path = save(tmp_path / "a.onnx", batch="4")
    assert [row.batch for row in compare([path], warmup_s=0, time_s=0.01)] == [4]


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = [save(tmp_path / "a.onnx"), save(tmp_path / "other" / "a.onnx")]
    rows = compare(paths, [1], warmup_s=0, time_s=0.01)
    assert len({row.model for row in rows}) == 2


def test_outputs_of_other_names_are_compared_in_their_order(tmp_path: Path) -> None:
    renamed, wrong = save(tmp_path / "b.onnx"), save(tmp_path / "c.onnx", weight=W * 1.01)
    for path in (renamed, wrong):
        proto = onnx.load(path)
        proto.graph.output[0].name = proto.graph.node[-1].output[0] = "other"
        onnx.save(proto, path)
    paths = [save(tmp_path / "a.onnx"), renamed]
    assert len(compare(paths, [1], warmup_s=0, time_s=0.01)) == 2
    with pytest.raises(VerificationError, match=r"c\.onnx must agree with a\.onnx"):
        compare([paths[0], wrong], [1], warmup_s=0, time_s=0.01)


def test_another_number_of_outputs_is_told(tmp_path: Path) -> None:
    more = save(tmp_path / "b.onnx")
    proto = onnx.load(more)
    proto.graph.node.append(onnx.helper.make_node("Abs", [proto.graph.output[0].name], ["abs"]))
    proto.graph.output.append(proto.graph.output[0])
    proto.graph.output[1].name = "abs"
    onnx.save(proto, more)
    with pytest.raises(
        VerificationError, match=r"as many outputs as a\.onnx to be timed, 1, got 2"
    ):
        compare([save(tmp_path / "a.onnx"), more], [1], warmup_s=0, time_s=0.01)


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

"""Real samples are cut into the batches that a model takes, or refused in one line."""

from typing import Any

import numpy as np
import pytest
from support import model

from nfcompile.errors import InputError
from nfcompile.runtime.real_samples import RealSamples, cut_into_batches

LABELS = np.arange(40)


def cut(signature: str, batch: int | None = None, **data: Any) -> RealSamples:
    name = signature.rsplit(",", maxsplit=1)[-1].rsplit(maxsplit=1)[-1]
    source = model(f"agraph ({signature}) => (y) {{ y = Identity({name}) }}")
    return cut_into_batches(source, data, batch)


def rows(count: int, width: int = 3) -> np.ndarray:
    return np.arange(count * width, dtype=np.float32).reshape(count, width)


def test_an_open_batch_takes_one_sample_and_then_sixteen() -> None:
    x = rows(40)
    found = cut("float[b,3] x", x=x, labels=LABELS)
    assert [len(item["x"]) for item in found.batches] == [1, 16, 16, 7]
    np.testing.assert_array_equal(np.concatenate([item["x"] for item in found.batches]), x)
    assert found.labels is not None
    assert np.concatenate(found.labels).tolist() == LABELS.tolist()


@pytest.mark.parametrize(("batch", "sizes"), [(8, [8, 8, 4]), (1, [1] * 20), (99, [20])])
def test_a_batch_that_is_asked_for_is_taken(batch: int, sizes: list[int]) -> None:
    found = cut("float[b,3] x", batch, x=rows(20))
    assert [len(item["x"]) for item in found.batches] == sizes


def test_a_fixed_batch_is_kept_and_what_does_not_fill_one_is_told() -> None:
    found = cut("float[8,3] x", x=rows(20))
    assert [len(item["x"]) for item in found.batches] == [8, 8]
    assert found.notes == ("4 of 20 samples left out: the model takes batches of 8",)


def test_a_dimension_more_holds_a_whole_input_per_entry() -> None:
    state = np.zeros((5, 2, 1, 4), np.float32)
    found = cut("float[b,3] x, float[2,b,4] h, float t", x=rows(5), h=state, t=np.float64(2))
    shapes = [{name: item.shape for name, item in call.items()} for call in found.batches]
    assert shapes == [{"x": (1, 3), "h": (2, 1, 4), "t": ()}] * 5


def test_numbers_are_brought_to_the_type_of_the_input() -> None:
    found = cut("float[b,3] x", x=rows(2).astype(np.float64))
    assert found.batches[0]["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("signature", "batch", "data", "words"),
    [
        ("float[b,3] x", None, {"z": rows(2)}, "data lack x; the model takes x"),
        ("float[b,3] x", None, {"x": rows(2), "z": rows(2)}, "data have z; the model takes x"),
        ("float[b,3] x", None, {"x": rows(2, 4)}, r"data array x must have shape \[b,3\]"),
        ("float[b,3] x", None, {"x": rows(2), "labels": LABELS}, "as many samples each, got x 2"),
        ("float[b,3] x", 0, {"x": rows(2)}, "batch must be at least 1, got 0"),
        ("float[b,3] x", None, {"x": rows(0)}, "samples for one batch at least, got 0"),
        ("float[8,3] x", None, {"x": rows(7)}, "samples for one batch at least, got 7"),
        ("float[8,3] x", 4, {"x": rows(8)}, "fixes its batch to 8, got batch 4"),
        ("int64[b,3] x", None, {"x": rows(2)}, "data array x must be int64, got float32"),
        ("float[2,3] x, float[4,3] z", None, {"x": rows(8), "z": rows(8)}, "x 2, z 4"),
        ("float[b,3] x", None, {"x": np.float32(1)}, r"must have shape \[b,3\], got \[\]"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_one_line(
    signature: str, batch: int | None, data: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        cut(signature, batch, **data)

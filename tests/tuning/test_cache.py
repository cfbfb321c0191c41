"""What was measured is found again, on the same machine only, and never half."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from nfcompile.cost.measured import Measurement
from nfcompile.target import Target
from nfcompile.tuning import TuningCache, cache_folder, machine

HERE = {"cpu": "A", "threads": "1"}
TIMES = {
    "dense": (Measurement(2.0, 0.5), Measurement(9.0)),
    "csr": (Measurement(1.0), Measurement(3.0)),
}


def test_what_is_added_is_found_by_the_next_one(tmp_path: Path) -> None:
    TuningCache(tmp_path / "new", HERE).add("layer", TIMES)
    again = TuningCache(tmp_path / "new", HERE)
    assert again.get("layer") == TIMES
    assert again.get("other") is None
    assert again.notes == []


def test_another_machine_has_a_file_of_its_own(tmp_path: Path) -> None:
    TuningCache(tmp_path, HERE).add("layer", TIMES)
    for other in ({**HERE, "cpu": "B"}, {**HERE, "threads": "2"}):
        assert TuningCache(tmp_path, other).get("layer") is None


def test_a_file_of_another_machine_under_this_ones_name_is_ignored(tmp_path: Path) -> None:
    foreign = TuningCache(tmp_path, {**HERE, "cpu": "B"})
    foreign.add("layer", TIMES)
    cache = TuningCache(tmp_path, HERE)
    foreign.path.rename(cache.path)
    cache = TuningCache(tmp_path, HERE)
    assert cache.get("layer") is None
    assert "another machine" in cache.notes[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "\udcff",
        lambda text: text.replace('"layers"', '"lairs"'),
        lambda text: text.replace("2.0", "-2.0"),
        lambda text: text.replace("2.0", "NaN"),
        lambda text: text.replace("2.0", '"two"'),
        lambda text: text.replace('"format": 1', '"format": 2'),
    ],
)
def test_a_damaged_file_is_ignored_with_a_note_and_replaced(damage: Any, tmp_path: Path) -> None:
    first = TuningCache(tmp_path, HERE)
    first.add("layer", TIMES)
    first.path.write_text(damage(first.path.read_text()), errors="surrogateescape")
    cache = TuningCache(tmp_path, HERE)
    assert cache.get("layer") is None
    assert len(cache.notes) == 1 and "ignored" in cache.notes[0]
    cache.add("layer", TIMES)
    assert TuningCache(tmp_path, HERE).get("layer") == TIMES


def test_a_folder_that_cannot_be_written_is_noted_and_the_times_are_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = TuningCache(tmp_path / "file", HERE)
    cache.add("layer", TIMES)
    assert cache.get("layer") == TIMES
    assert any("are not kept: cannot write" in note for note in cache.notes)


def test_two_that_began_with_the_same_file_keep_what_either_adds(tmp_path: Path) -> None:
    first, second = TuningCache(tmp_path, HERE), TuningCache(tmp_path, HERE)
    first.add("one", TIMES)
    second.add("two", TIMES)
    cache = TuningCache(tmp_path, HERE)
    assert cache.get("one") == cache.get("two") == TIMES


def _add_some(folder: Path, first: int) -> None:
    cache = TuningCache(folder, HERE)
    for index in range(first, first + 20):
        cache.add(f"layer {index}", TIMES)


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    start = multiprocessing.get_context("spawn").Process
    writers = [start(target=_add_some, args=(tmp_path, 20 * i)) for i in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    cache = TuningCache(tmp_path, HERE)
    assert all(cache.get(f"layer {index}") == TIMES for index in range(60))
    assert {item.suffix for item in tmp_path.iterdir()} == {".json", ".lock"}


def test_the_file_says_what_it_is_about(tmp_path: Path) -> None:
    where = machine(Target("ort-cpu", 3, "avx2"))
    assert {"cpu", "isa", "onnxruntime", "nfcompile", "kernels", "precision"} <= where.keys()
    cache = TuningCache(tmp_path, where)
    cache.add("layer", TIMES)
    assert json.loads(cache.path.read_text())["machine"]["threads"] == "3"


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NFCOMPILE_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", "/home/user")
    for base, folder in (
        ("", "/home/user/.cache/nfcompile"),
        ("relative", "/home/user/.cache/nfcompile"),
        ("/cache", "/cache/nfcompile"),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert cache_folder() == Path(folder)
    monkeypatch.setenv("NFCOMPILE_CACHE_DIR", "/elsewhere")
    assert cache_folder() == Path("/elsewhere")

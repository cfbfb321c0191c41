"""The file of a sweep holds whole lines only, and is never written over."""

import errno
import json
import os
from pathlib import Path

import pytest

from nfcompile.errors import InputError
from nfcompile.study.results import Results, canonical

A = '{"task": {"x": 1}, "result": {"y": 2}}\n'
B = '{"task": {"x": 2}, "result": {"y": [1, null]}}\n'


def text(**task: object) -> str:
    return canonical(task)


def test_the_order_of_names_does_not_matter_but_types_do() -> None:
    assert canonical({"b": 1, "a": None}) == canonical({"a": None, "b": 1})
    assert len({text(x=1), text(x=1.0), text(x=True), text(x="1")}) == 4


@pytest.mark.parametrize("value", [[1], {"a": 1}, (1,), b"x", {1}])
def test_a_task_that_is_not_flat_is_told(value: object) -> None:
    with pytest.raises(InputError, match=r"a task must map names to .* got 'x': "):
        text(x=value)


def test_what_was_added_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with Results(path) as results:
        results.add(text(x=2, a="ü\n"), '{"y": [1, NaN]}')
        here = results[text(x=2, a="ü\n")]
    (line,) = path.read_text().splitlines()
    assert here["task"] == json.loads(line)["task"] == {"x": 2, "a": "ü\n"}
    with Results(path) as results:
        assert str(results[text(a="ü\n", x=2)]) == str(here)
        assert text(x=2) not in results


def test_each_line_is_there_as_soon_as_it_is_added(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with Results(path) as results:
        results.add(text(x=1), '{"y": 2}')
        assert path.read_text() == A


def test_without_a_file_results_are_kept_in_memory() -> None:
    with Results(None) as results:
        results.add(text(x=1), '{"y": 2}')
        assert results[text(x=1)] == {"task": {"x": 1}, "result": {"y": 2}}


@pytest.mark.parametrize("cut", [1, 5, 9, 20, len(B) - 1])
def test_a_last_line_without_its_end_is_dropped(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(A + B[:cut])
    with Results(path) as results:
        assert text(x=1) in results
        assert text(x=2) not in results
        results.add(text(x=2), '{"y": [1, null]}')
    assert path.read_text() == A + B


def test_a_first_line_without_its_end_is_dropped_too(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(A[:20])
    with Results(path):
        assert not path.read_text()


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (A + "{'task'\n" + B, 2),
        (A + "\n" + B, 2),
        ("[]\n", 1),
        (A + '{"task": 1, "result": {}}\n', 2),
        (A + '{"task": {"x": [1]}, "result": {}}\n', 2),
        (A + B + '{"task": {}, "result": 3}\n', 3),
        (A + '{"result": {}}\n' + B[:9], 2),
        ("title", 1),
        (A + "notes", 2),
    ],
)
def test_a_line_of_something_else_is_told_and_the_file_left_alone(
    tmp_path: Path, content: str, number: int
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(content)
    with pytest.raises(
        InputError, match=rf"r\.jsonl, line {number} must be .*, got ['\"]"
    ) as caught:
        Results(path)
    assert "\n" not in str(caught.value)
    assert path.read_text() == content


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(A.encode() + b"\xff\x00\n")
    with pytest.raises(InputError, match="line 2 must be"):
        Results(tmp_path / "r")


@pytest.mark.parametrize("name", ["missing/r.jsonl", "."])
def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="must be writable, got: "):
        Results(tmp_path / name)


def test_two_sweeps_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with Results(path), pytest.raises(InputError, match="another one is writing to it"):
        Results(path)
    with Results(path):
        pass


def test_a_full_disk_is_told_and_the_next_sweep_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "r.jsonl", os.write
    path.write_text(A)
    room = 10

    def limited(file: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(file, data[:room])
        room -= written
        return written

    with Results(path) as results:
        monkeypatch.setattr(os, "write", limited)
        with pytest.raises(InputError, match=r"cannot write .*No space left on device"):
            results.add(text(x=2), '{"y": 3}')
        assert text(x=2) not in results
        monkeypatch.undo()
    assert path.read_text() == A + B[:10]
    with Results(path):
        assert path.read_text() == A

"""The file of a sweep is read as it is, whole lines only."""

import json
from pathlib import Path

import pytest

from nfcompile.errors import InputError
from nfcompile.study.reading import read_outcomes
from nfcompile.study.tasks import score_task, train_tasks
from nfcompile.topology import LowRank

TOPOLOGY = LowRank(64, rank=4, skip=True)
SCORE = {"edges": 512, "rank": None, "l2": [0.5, 0.7], "l1": [0.5, 0.5], "l0": [0.1, 0.1]}


def lines() -> list[str]:
    records = [{"task": score_task(TOPOLOGY), "result": SCORE}]
    for task in train_tasks(TOPOLOGY, "digits", range(2), layers=1, epochs=3):
        records.append(
            {"task": task, "result": {"edges": 512, "accuracy": 0.5 + 0.1 * task["seed"]}}
        )  # type: ignore[operator]
    return [json.dumps(record) + "\n" for record in records]


def test_scores_and_trainings_are_joined_and_the_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    text = "".join(lines()) + '{"task": {"kind'
    path.write_text(text)
    path.chmod(0o444)
    (found,) = read_outcomes(path)
    assert found.topology == str(TOPOLOGY) and found.skip and found.edges == 512
    assert found.setting == "digits, 1 layer, 3 epochs"
    assert found.accuracy is not None
    assert (found.accuracy.mean, found.accuracy.count) == (pytest.approx(0.55), 2)
    assert found.heuristic["l2"].mean == pytest.approx(0.6)
    assert "rank" not in found.heuristic  # it was too large to compute
    assert path.read_text() == text


@pytest.mark.parametrize(
    "line",
    ["no JSON", "[1]", '{"task": {}, "result": {}}', "{}", lines()[0].replace("low-rank", "poem")],
)
def test_a_file_of_something_else_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "r").write_text(lines()[0] + line + "\n")
    with pytest.raises(InputError, match=r"r, line 2 must be a result of nfcompile topology sweep"):
        read_outcomes(tmp_path / "r")


def test_a_missing_an_empty_and_a_binary_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_outcomes(tmp_path / "r")
    (tmp_path / "r").write_text("")
    with pytest.raises(InputError, match="must hold results, got none"):
        read_outcomes(tmp_path / "r")
    (tmp_path / "r").write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match="it is not text"):
        read_outcomes(tmp_path / "r")

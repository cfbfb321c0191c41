"""`nfcompile topology` as a user sees it: tables, JSON, pictures, one line per error."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nfcompile.cli import app
from nfcompile.cli.output import _seldom
from nfcompile.topology import KINDS, parse
from nfcompile.topology.jacobian import Freedom, jacobian_rank
from nfcompile.topology.requirements import requirements

QUICK = ("--draws", 2, "--restarts", 1, "--steps", 2, "--workers", 1)
SWEEP = ("sweep", *QUICK, "--seeds", 2, "--epochs", 1)
EXPANDER = "expander(n=64, degree=3, seed=0, layers=2)"
FOUR = [f"low-rank(n=64, rank={rank})" for rank in (2, 3)] + ["clos(n=64, m=2, q=8)", EXPANDER]


def run(*args: Any, ok: bool = True) -> Any:
    result = CliRunner().invoke(app, ["topology", *(str(arg) for arg in args)])
    assert not ok or result.exit_code == 0, result.output
    return result


def data(*args: Any) -> Any:
    return json.loads(run(*args, "--json", "-").stdout)


def words(text: str) -> str:
    """Table cells may break anywhere between words."""
    return " ".join(text.split())


def named(*texts: str) -> list[str]:
    return [part for text in texts for part in ("--topology", text)]


def test_list_tells_all_kinds_with_parameters_and_rule() -> None:
    said = run("list").stdout
    assert [line.split()[0] for line in said.splitlines()[2:] if line[:1].isalpha()] == list(KINDS)
    assert "n, degree, seed=0, layers?, skip=false" in said
    assert "radices[t]" in said
    kinds = {item["name"]: item for item in data("list")["kinds"]}
    assert {"name": "parallel", "required": False, "default": 2} in kinds["parallel-butterfly"][
        "parameters"
    ]
    assert kinds["dense"]["rule"].startswith("Every input joined to every output")


def test_list_of_a_budget_has_its_members_and_the_kinds_without_one() -> None:
    found = data("list", "-n", 64, "--edges", 1536, "--per-kind", 2)
    for row in found["members"]:
        topology = parse(row["topology"])
        assert 0.875 * 1536 <= row["edges"] == topology.edges <= 1536
        assert row["density"] == topology.edges / 4096 and row["factors"] == topology.depth
        assert [one["met"] for one in row["requirements"]] == [
            one.met for one in requirements(topology)
        ]
    kinds = [row["topology"].partition("(")[0] for row in found["members"]]
    assert {*kinds, *found["without"]} == set(KINDS) and max(map(kinds.count, kinds)) == 2
    result = run("list", "--in", 64, "--out", 32, "--edges", 700)
    assert "low-rank(in=64, out=32, rank=7)" in words(result.stdout)
    assert "no member with 700 edges or up to an eighth fewer: dense" in result.stderr


def test_show_has_the_numbers_of_the_topology() -> None:
    text = "parallel-butterfly(n=16, radix=4)"
    found, topology = data("show", text), parse(text)
    assert found["rank"] == {"value": jacobian_rank(topology), "entries": 256, "exact": True}
    assert found["paths"] == [2, 2] and found["edges"] == topology.edges
    assert found["variance"]["fan_in"] == pytest.approx([1, 1])
    assert found["variance"]["dense"] == pytest.approx([(4 / 16) ** 2] * 2)
    assert found["factors"][3] == {
        "branch": 2, "factor": 2, "shape": [16, 16], "edges": 64, "fan_in": [4, 4],
    }  # fmt: skip
    assert all(item["met"] for item in found["requirements"])
    said = words(run("show", "expander(degree=3)", "-n", 32).stdout)
    assert "freedom at most" not in said and "entries can be prescribed at once" in said
    assert "reachability" in said and "gradient path no no skip" in said


def test_a_freedom_that_is_a_bound_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfcompile.topology.jacobian.freedom", lambda _: Freedom(77, exact=False))
    found = data("show", "monarch(n=16)")
    assert found["rank"] == {"value": 77, "entries": 256, "exact": False}
    said = words(run("show", "monarch(n=16)").stdout)
    assert "freedom at most 77 of 256 entries can be prescribed at once" in said


def test_paths_of_a_wide_topology_are_those_of_its_requirements() -> None:
    found = data("show", "random(n=2048, degree=2, layers=9)")
    judged = {item["name"]: item for item in found["requirements"]}
    fewest, most = found["paths"]
    assert fewest == judged["path diversity"]["value"]
    assert judged["equal paths"]["text"].startswith(f"{fewest:.0f} to {most:.0f} paths per pair")


def test_score_agrees_with_the_library_and_warns_at_unequal_edges(tmp_path: Path) -> None:
    from nfcompile.study.reconstruction import reconstruct

    texts = ["low-rank(n=16, rank=4, skip=true)", "butterfly(n=16, radix=4)"]
    kept = ("--results", tmp_path / "r.jsonl")
    result = run("score", *texts, *QUICK, "--seed", 3, *kept, "--json", "-")
    for row, text in zip(json.loads(result.stdout)["scores"], texts, strict=True):
        topology = parse(text.replace(", skip=true", ""))
        expected = reconstruct(topology, draws=2, restarts=1, steps=2, seed=3)
        assert row["heuristic"]["l2"]["mean"] == pytest.approx(sum(expected.l2) / 2)
        assert row["heuristic"]["rank"]["mean"] == jacobian_rank(topology)
    assert "warning" not in result.stderr
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 2
    result = run("score", "low-rank(n=16, rank=2)", texts[1], *QUICK)
    assert "warning: numbers compare only at equal edges, these have 64 to 128" in result.stderr


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The results file of a sweep, and what the command said."""
    path = tmp_path_factory.mktemp("sweep") / "r.jsonl"
    return path, run(*SWEEP, "--edges", 384, *named(*FOUR), "--results", path)


def test_a_sweep_scores_and_trains_all_of_a_budget_and_a_rerun_does_nothing_more(
    swept: tuple[Path, Any],
) -> None:
    path, result = swept
    tasks = [json.loads(line)["task"] for line in path.read_text().splitlines()]
    skips = [text.replace(")", ", skip=true)") for text in FOUR]
    trained = sorted(task["topology"] for task in tasks if task["kind"] == "train")
    assert trained == sorted([*FOUR, *skips] * 2)
    assert sorted(task["topology"] for task in tasks if task["kind"] == "score") == sorted(FOUR)
    said = words(result.stdout)
    assert "Budget of 256 edges; digits, 2 layers, 1 epochs" in said
    assert "Budget of 384 edges" in said and "Does the score predict accuracy?" in said
    before = path.read_bytes()
    again = data(*SWEEP, "--edges", 384, *named(*FOUR), "--results", path)
    assert path.read_bytes() == before
    budgets = {row["budget"]: row for row in again["budgets"]}
    assert {item["topology"] for item in budgets[256]["topologies"]} == {FOUR[0], skips[0]}
    accuracies = [item["accuracy"]["mean"] for item in budgets[384]["topologies"]]
    assert accuracies == sorted(accuracies, reverse=True) and len(accuracies) == 6
    parts = budgets[384]["predictions"]
    counts = [(part["skip"], part["correlations"]["l2"]["count"]) for part in parts]
    assert counts == [(False, 3), (True, 3)]


def test_a_sweep_can_score_only_or_train_only(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    text = FOUR[0].replace(")", ", skip=true)")
    for switch in ("--no-train", "--no-score"):
        run(*SWEEP, *named(text), "--results", path, switch, "--skip", "as-is")
    tasks = [json.loads(line)["task"] for line in path.read_text().splitlines()]
    assert [task["kind"] for task in tasks] == ["score", "train", "train"]
    assert [task["topology"] for task in tasks] == [FOUR[0], text, text]


def test_recommend_names_one_of_the_candidates_and_draws_them(tmp_path: Path) -> None:
    args = ("recommend", "-n", 64, "--edges", 256, "--seeds", 1, "--epochs", 1, "--batch", 4)
    result = run(*args, "--workers", 1, "-o", tmp_path / "p.svg", "--json", tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["best"] in {item["topology"] for item in found["candidates"]}
    dense, listed = found["dense"], found["candidates"]
    assert set(dense["latency"]) == {"1", "4"} and dense["accuracy"]["count"] == 1
    assert all(item["topology"].endswith("skip=true)") for item in [dense, *listed])
    assert all(item["freedom_exact"] for item in listed)
    said = words(result.stdout)
    assert f"train {found['best']}" in said and "the dense layer" in said
    assert found["best"] in (tmp_path / "p.svg").read_text()


def test_plot_draws_topologies_and_sweeps(swept: tuple[Path, Any], tmp_path: Path) -> None:
    for name, source, what, words_ in (
        ("a.svg", "butterfly(n=16, radix=4)", (), "factor 2"),
        ("b.svg", "butterfly(radix=4)", ("--what", "paths", "-n", 16), "every pair is joined"),
        ("c.svg", swept[0], (), "accuracy on the test set, %"),
        ("d.svg", swept[0], ("--what", "heuristic"), "no skip: rho"),
    ):
        result = run("plot", source, "-o", tmp_path / name, *what)
        assert words_ in (tmp_path / name).read_text()
        assert result.stderr.splitlines()[-1] == f"wrote {tmp_path / name}"
    run("plot", "monarch(n=16)", "-o", tmp_path / "e.png")
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("list -n 64", "members need widths and edges"),
        ("list -n 64 --in 64 --edges 9", "give the widths as -n, or as --in and --out, not both"),
        ("list --out 64 --edges 9", "--out needs --in as well"),
        ("list -n 64 --edges 1", "no topology from 64 to 64 has 1 edges"),
        ("list -n 1 --edges 1", "must be an integer of at least 2, got 1"),
        ("list -n 64 --edges 999 --per-kind 0", "per-kind must be at least 1, got 0"),
        ("list --json missing/x.json", "its folder is missing"),
        ("show buterfly(n=64,radix=4)", "unknown topology 'buterfly'; did you mean"),
        ("show butterfly(n=64,radix=4) -n 32", "has 64 inputs, where 32 are needed"),
        ("show dense(n=65536)", "4,294,967,296 edges, more than the 134,217,728"),
        ("score monarch(n=16) --steps 0", "steps must be at least 1, got 0"),
        ("score monarch(n=16) --workers 0", "workers must be at least 1, got 0"),
        (
            "score monarch(n=1024)",
            "widths up to 512, got 1024 to 1024: use topology sweep with --no",
        ),
        (
            "sweep --results r -n 1024 --edges 65536",
            "512, got 1024 to 1024: use topology sweep with",
        ),
        ("sweep --results r --edges 9", "a sweep needs widths"),
        ("sweep --results r -n 64", "a sweep needs --edges, --topology or both"),
        ("sweep --results r -n 64 --edges 9,x", "must be integers above 0 with commas between"),
        ("sweep --results r -n 64 --edges 512 --skip no", "skip must be both or as-is, got 'no'"),
        ("sweep --results r -n 64 --edges 512 --no-score --no-train", "leave nothing to do"),
        ("sweep --results r -n 64 --edges 512 --dataset digit", "unknown data set 'digit'"),
        ("sweep --results r -n 32 --edges 256", "at least the 64 inputs of digits, got 32"),
        ("sweep --results r --in 64 --out 32 --edges 512 --layers 2", "layers must be 1"),
        ("sweep --results no/r -n 64 --edges 512", "results file no/r must be writable"),
        ("recommend --edges 512", "a recommendation needs widths"),
        ("recommend -n 64 --edges 512 --seeds 0", "seeds must be at least 1, got 0"),
        ("recommend -n 64 --edges 512 -o p.jpg", "picture p.jpg must end in"),
        ("plot monarch(n=16) -o p.jpg", "picture p.jpg must end in .png, .svg, .pdf"),
        ("plot monarch(n=16) -o missing/p.png", "output folder missing does not exist"),
        ("plot monarch(n=16) -o p.png --what mask", "what must be masks, paths, accuracy or"),
        ("plot monarch(n=16) -o p.png --what accuracy", "can be drawn as masks or paths"),
        ("plot r.jsonl -o p.png", "no such file: r.jsonl"),
    ],
)
def test_a_bad_value_is_one_line_and_nothing_is_written(
    args: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*args.split(), ok=False)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("nfcompile: error: ") and said in line
    assert not result.stdout and not list(tmp_path.iterdir())


def test_json_is_written_whole_or_not_at_all_and_where_a_link_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    link.symlink_to(real)
    write_text = Path.write_text

    def fill_up(path: Path, text: str) -> None:
        write_text(path, text[:5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", fill_up)
        result = run("list", "--json", link, ok=False)
    assert result.exit_code == 2 and "No space left on device" in result.stderr
    assert real.read_text() == "old" and set(tmp_path.iterdir()) == {real, link}
    run("list", "--json", link)
    assert link.is_symlink() and len(json.loads(real.read_text())["kinds"]) == len(KINDS)


def test_a_long_sweep_without_a_terminal_tells_its_progress_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = (*SWEEP, *named(FOUR[0]), "--results", tmp_path / "r", "--no-score", "--skip", "as-is")
    assert "runs done" not in run(*args).stderr
    (tmp_path / "r").unlink()
    monkeypatch.setattr("nfcompile.cli.output._EVERY_S", 0)
    said = run(*args).stderr.splitlines()
    assert [f"{count} of 2 runs done" in said for count in range(3)] == [True] * 3
    monkeypatch.setattr("nfcompile.cli.output._EVERY_S", 30)
    now = iter([0.0, 29.0, 31.0, 31.0, 60.0, 62.0, 62.0])
    monkeypatch.setattr("nfcompile.cli.output.time.monotonic", lambda: next(now))
    say = _seldom()
    with monkeypatch.context() as patched:
        told: list[str] = []
        patched.setattr("nfcompile.cli.output.talk", told.append)
        for step in "abcd":
            say(step)
    assert told == ["b", "d"]


def test_a_file_that_is_no_sweep_leaves_the_old_picture(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("a poem\n")
    (tmp_path / "p.png").write_bytes(b"old")
    result = run("plot", tmp_path / "r.txt", "-o", tmp_path / "p.png", ok=False)
    assert result.exit_code == 2 and "line 1 must be a result" in result.stderr
    assert (tmp_path / "p.png").read_bytes() == b"old"


def test_help_needs_neither_numpy_nor_torch_nor_matplotlib() -> None:
    code = """
import sys
from nfcompile.cli import app
try:
    app(["topology", "sweep", "--help"])
except SystemExit:
    print(sorted({"numpy", "torch", "matplotlib", "rich"} & set(sys.modules)))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "[]"

"""Pictures show what is there: in SVG files, matplotlib keeps every text in a comment."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.sparse import csr_array

from nfcompile.bench.statistics import Timing
from nfcompile.errors import EngineMissingError, InputError
from nfcompile.study.recommend import Candidate, Recommendation
from nfcompile.study.statistics import Estimate
from nfcompile.study.summary import Outcome
from nfcompile.topology import Topology, parse

pytest.importorskip("matplotlib")
from nfcompile.study import plots
from nfcompile.study.plots.binning import bin_mask, bin_paths

LOW_RANK = parse("low-rank(n=16, rank=2)")


def texts(draw: Callable[..., Path], *args: Any) -> str:
    """All words of a picture; `args` hold a folder where its path goes."""
    path = next(item for item in args if isinstance(item, Path)) / "p.svg"
    drawn = draw(*(path if isinstance(item, Path) else item for item in args))
    assert drawn == path
    return path.read_text()


def interval(mean: float, half: float = 0.01) -> Estimate:
    spread = half * 3**0.5 / 4.302653  # 97.5 % point of t with 2 degrees of freedom
    return Estimate((mean - spread, mean, mean + spread))


def outcome(
    text: str, edges: int, accuracy: float, l2: float | None = None, setting: str = "digits"
) -> Outcome:
    heuristic = {} if l2 is None else {"l2": interval(l2), "l1": interval(l2), "l0": interval(-l2)}
    kind = text.partition("(")[0]
    skip = "skip=true" in text
    return Outcome(text, kind, skip, edges, setting, interval(accuracy), heuristic)


@pytest.mark.parametrize("shape", [(7, 5), (8, 8), (30, 9), (64, 17)])
@pytest.mark.parametrize("cells", [4, 8, 64])
def test_cells_of_a_mask_hold_the_number_of_its_entries(shape: Any, cells: int) -> None:
    dense = np.random.default_rng(0).random(shape) < 0.3
    found = bin_mask(csr_array(dense.astype(np.int64)), cells)
    high, wide = (math.ceil(size / cells) for size in shape)
    assert max(found.shape) <= cells
    for (row, column), count in np.ndenumerate(found):
        part = dense[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
        assert count == part.sum()


def product(topology: Topology) -> Any:
    total: Any = 0
    for branch in topology.branches():
        paths: Any = np.eye(topology.in_features)
        for mask in branch:
            paths = mask.toarray() @ paths
        total = total + paths
    return total


@pytest.mark.parametrize(
    "text",
    [
        "parallel-butterfly(n=64, radix=4)",
        "expander(n=64, degree=3)",
        "low-rank(in=600, out=9, rank=2)",
    ],
)
def test_a_path_map_is_the_product_of_the_masks(text: str) -> None:
    topology = parse(text)
    expected = product(topology)
    found = bin_paths(topology)
    columns = np.unique(np.linspace(0, expected.shape[1] - 1, found.cells.shape[1]).astype(int))
    np.testing.assert_array_equal(found.cells, expected[:, columns])
    assert (found.fewest, found.most) == (expected.min(), expected.max())
    assert found.joined == (expected[:, columns] > 0).mean()


def test_a_wide_path_map_is_512_cells_of_means_and_its_ends_are_those_of_single_pairs() -> None:
    topology = parse("random(n=1100, degree=3, layers=3)")
    expected = product(topology)
    columns = np.linspace(0, 1099, 512).astype(int)
    found = bin_paths(topology)
    assert found.cells.shape == (math.ceil(1100 / 3), 512)
    np.testing.assert_allclose(found.cells[1], expected[3:6, columns].mean(0))
    np.testing.assert_allclose(found.cells[-1], expected[1098:, columns].mean(0))
    assert found.most == expected[:, columns].max()
    assert found.joined == (expected[:, columns] > 0).mean() < 1


def test_a_topology_shows_each_factor_once_with_its_numbers(tmp_path: Path) -> None:
    said = texts(plots.draw_topology, parse("pixelfly(n=16, block=2, rank=3)"), tmp_path)
    for words in ("branch 1, factor 1", "branch 2, factor 1", "branch 2, factor 2", "3 per output"):
        assert f"<!-- {words}" in said
    assert "parallel" not in said
    said = texts(plots.draw_topology, parse("torus(n=16, dims=2, skip=true)"), tmp_path)
    assert "<!-- factors 1 to 4, all equal -->" in said and "(skip)" in said
    assert "<!-- every pair is joined -->" in said


def test_pairs_without_a_path_are_told(tmp_path: Path) -> None:
    topology = parse("torus(n=16, dims=1, layers=2)")
    missing = (product(topology) == 0).mean()
    said = texts(plots.draw_paths, topology, tmp_path)
    assert f"<!-- {missing:.2%} of pairs have none" in said
    assert "<!-- Paths from each input to each output: 0 to 3 -->" in said
    assert "factor" not in said


def test_many_factors_are_not_all_drawn_and_the_rest_is_counted(tmp_path: Path) -> None:
    said = texts(plots.draw_topology, parse("random(n=8, degree=2, layers=33)"), tmp_path)
    assert said.count("<!-- factor ") == 20
    assert "<!-- 13 more factors are not shown -->" in said


def test_accuracy_has_a_place_per_budget_a_panel_per_setting_and_dense_as_a_line(
    tmp_path: Path,
) -> None:
    found = [
        outcome("low-rank(n=64, rank=8)", 1024, 0.9),
        outcome("clos(n=64, m=5, q=8, skip=true)", 960, 0.91),
        outcome("low-rank(n=64, rank=16)", 2048, 0.95),
        outcome("low-rank(n=64, rank=4)", 512, 0.85, setting="mnist"),
        outcome("dense(n=64)", 4096, 0.97),
    ]
    said = texts(plots.draw_accuracy, found, tmp_path)
    words = (
        "960 to 1,024", "2,048", "512", "digits", "mnist", "low-rank", "clos", "dense(n=64)",
        "filled: with skip", "hollow: no skip",
    )  # fmt: skip
    for text in words:
        assert f"<!-- {text} -->" in said
    assert "<!-- butterfly -->" not in said


def test_the_heuristic_is_drawn_with_the_rho_of_its_budget(tmp_path: Path) -> None:
    accuracy, l2 = [0.9, 0.8, 0.95, 0.7], [0.3, 0.4, 0.35, 0.1]
    names = ("low-rank(n=64, rank=8)", "monarch(n=64)", "butterfly(n=64, radix=8)", "x(n=64)")
    found = [outcome(*row) for row in zip(names, [1024] * 4, accuracy, l2, strict=True)]
    said = texts(plots.draw_heuristic, [*found, outcome("dense(n=64)", 4096, 0.99, 0)], tmp_path)
    rho = stats.spearmanr(l2, accuracy).statistic
    assert said.count(f"<!-- rho = {rho:+.2f}, p = ") == 2  # L2 and L1, which are equal here
    assert said.count(f"<!-- rho = {-rho:+.2f}, p = ") == 1
    assert "all: rho" not in said
    assert "rho unknown, n = 0" in said  # of the rank, which is not known
    assert "up to 1,024 weights" in said and "4,096" not in said


@pytest.mark.parametrize("draw", [plots.draw_accuracy, plots.draw_heuristic])
def test_a_sweep_without_what_is_to_be_drawn_is_told(
    draw: Callable[..., Path], tmp_path: Path
) -> None:
    scored = Outcome("monarch(n=64)", "monarch", False, 1024, "", None, {"l2": interval(0.1)})
    with pytest.raises(InputError, match="nothing to draw"):
        draw([scored], tmp_path / "p.png")
    assert not list(tmp_path.iterdir())


def test_candidates_are_named_and_the_recommended_one_and_the_dense_layer_marked(
    tmp_path: Path,
) -> None:
    def candidate(text: str, us: float, on_front: bool) -> Candidate:
        topology = parse(text)
        latency = {64: Timing(us, us, 0.1)}
        return Candidate(topology, (), 0.1, True, interval(0.9), topology.edges, latency, on_front)

    listed = (candidate("low-rank(n=64, rank=8)", 20, True), candidate("monarch(n=64)", 30, False))
    found = Recommendation(listed[0], ("fast",), listed, candidate("dense(n=64)", 44, True))
    said = texts(plots.draw_pareto, found, tmp_path, 64)
    for words in (
        "1,024: low-rank(n=64, rank=8)", "1,024: monarch(n=64)", "recommended",
        "4,096: the dense layer, 44 us", "Pareto front of accuracy, weights,",
    ):  # fmt: skip
        assert f"<!-- {words}" in said


def test_runs_that_stand_still_or_break_are_told_and_marked(tmp_path: Path) -> None:
    curves = {
        "good": [2.3, 1.0, 0.1],
        "still": [2.303, 2.3031, 2.303],
        "breaks": [2.0, 1.9, math.nan],
        "infinite": [math.inf, math.nan, math.nan],
        "empty": [],
    }
    said = texts(plots.draw_training, curves, tmp_path, "Losses")
    for words in ("ends at 0.1", "stands still at 2.3", "no finite number from epoch 3",
                  "no finite number from epoch 1", "Losses"):  # fmt: skip
        assert words in said
    assert said.count("stands still") == 1
    with pytest.raises(InputError, match="no run has an epoch"):
        plots.draw_training({"empty": []}, tmp_path / "p.svg", "")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_the_suffix_decides_the_format_and_equal_data_gives_equal_files(
    tmp_path: Path, suffix: str
) -> None:
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        plots.draw_paths(LOW_RANK, path)
        assert path.read_bytes().startswith(starts[suffix.lower()])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_picture_that_cannot_be_finished_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(self: Any, path: Path, **options: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    path = tmp_path / "p.png"
    path.write_bytes(b"old")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fill_up)
    with pytest.raises(InputError, match=r"cannot write .*p\.png: No space left on device"):
        plots.draw_paths(LOW_RANK, path)
    assert [item.read_bytes() for item in tmp_path.iterdir()] == [b"old"]


def test_where_no_picture_can_go_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, words in (
        (tmp_path / "p.jpg", r"must end in \.png, \.svg, \.pdf"),
        (tmp_path / "missing" / "p.png", "does not exist: create it first"),
    ):
        with pytest.raises(InputError, match=words):
            plots.check_picture(path)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(EngineMissingError, match="pip install matplotlib"):
        plots.check_picture(tmp_path / "p.png")

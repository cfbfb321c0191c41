"""The GPU's benchmark on the host: cases, checks, copies, shares, and what it writes."""

import json
from pathlib import Path
from typing import Any

import gpu
import numpy as np
import pytest
import torch
from gpu import run
from gpu_bench import Bench, Result
from gpu_calibration import constants_from
from gpu_cases import Case, all_cases, cascade, ffn, merge_equal, square
from gpu_clock import HostClock, Timing, copies_beyond_cache, take_turns
from gpu_layers import BF16, FP16, FP32, NARROW
from gpu_network import Network
from gpu_page import goals, page
from support_fake_cuda import FakeCuda, FakeProduct

CEILINGS = {"memory": 4e12, "read": 5e12, "bf16": 8e14, "f16": 8e14, "f32": 3e14}


class Wrong(FakeProduct):
    """Every output is doubled."""

    def run(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return 2 * super().run(*args, **kwargs)


class Silent(FakeProduct):
    """Writes nothing."""

    def launch(self, *args: Any, **kwargs: Any) -> None:
        pass


def bench(product: type[FakeProduct] = FakeProduct) -> Bench:
    cuda = FakeCuda()
    cuda.product = product
    return Bench(torch, cuda, "cpu", HostClock(), l2_bytes=1 << 16, rounds=2)


def measured(case: Case, batch: int = 5, product: type[FakeProduct] = FakeProduct) -> Result:
    made = bench(product)
    network = Network(case, torch, made.cuda, "cpu")
    return made.measure(case, network, batch, CEILINGS)


CASES = [
    square(128, 32, 0.3, BF16, (5,), ("dense",)),
    square(128, 16, 0.3, FP16, (5,), ("dense",)),
    square(128, 32, 0.3, FP32, (5,), ("dense",)),
    square(128, 32, 0.3, NARROW, (5,), ("dense",)),
    cascade(256, (16, 16), FP32, (5,)),
    cascade(512, (16, 16, 2), FP32, (5,)),
    ffn(32, FP16, (5,)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.types}")
def test_a_case_is_checked_then_timed_beside_its_peers(case: Case) -> None:
    result = measured(case)
    assert set(result.timings) == {"nfcompile", "dense"}, result.reasons
    assert not result.reasons
    assert all(0 < error < 2e-2 for error in result.errors.values())
    assert result.kernels and result.matrix_share > 0 and result.memory_share > 0


def test_shares_are_of_the_rate_of_the_type_and_of_all_bytes() -> None:
    case = square(128, 32, 0.3, FP32, (5,), ())
    network = Network(case, torch, FakeCuda(), "cpu")
    result = measured(case)
    seconds = result.timings["nfcompile"].median_us / 1e6
    flops = 2 * network.nonzeros * 5 / (CEILINGS["f32"] / 3)
    nbytes = 4 * network.nonzeros + 4 * (network.nonzeros // 32**2 + 5) + 4 * 5 * 256
    assert result.matrix_share == pytest.approx(flops / seconds)
    assert result.memory_share == pytest.approx(nbytes / CEILINGS["memory"] / seconds)


@pytest.mark.parametrize("product", [Wrong, Silent])
def test_a_wrong_result_gets_no_time(product: type[FakeProduct]) -> None:
    result = measured(CASES[0], product=product)
    assert set(result.timings) == {"dense"}
    assert "wrong: relative error" in result.reasons["nfcompile"]
    assert result.matrix_share == 0


def test_a_peer_that_cannot_run_says_why() -> None:
    result = measured(square(128, 32, 0.3, BF16, (5,), ("torch 2:4", "ort")))
    assert set(result.timings) == {"nfcompile"}
    assert set(result.reasons) == {"torch 2:4", "ort"}
    assert "onnxruntime has no CUDAExecutionProvider" in result.reasons["ort"]


def test_copies_outgrow_the_cache_or_it_is_said() -> None:
    assert copies_beyond_cache(1e9, 5e7) == (1, True)
    assert copies_beyond_cache(2e7, 5e7) == (5, True)
    assert copies_beyond_cache(1e3, 5e7) == (16, False)


def test_contenders_take_turns() -> None:
    told: list[str] = []
    samples = {name: lambda name=name: told.append(name) or 1.0 for name in "ab"}
    found = take_turns(samples, 3)
    assert told == ["a", "b", "b", "a", "a", "b"]
    assert found["a"] == Timing(1.0, 1.0, 1.0, 3)


def test_the_goals_cases_come_first_and_names_are_told_apart() -> None:
    cases = list(all_cases())
    keys = [(case.name, case.types) for case in cases]
    assert len(keys) == len(set(keys))
    assert cases[0].name == "8192 blocks 64 density 0.10" and cases[0].types == BF16
    assert cases[0].batches[:2] == (4096, 1)
    assert {case.group for case in cases[:4]} == {"square", "cascade", "graph challenge"}
    assert {case.types for case in cases} == {BF16, FP16, FP32, NARROW}
    widths = {int(case.name.split()[0]) for case in cases if case.group == "square"}
    assert (min(widths), max(widths)) == (1024, 16384)


def test_factors_of_a_cascade_mix_all_inputs() -> None:
    for case in (cascade(64, (8, 8), FP32, ()), cascade(128, (16, 8), FP32, ())):
        network = Network(case, torch, FakeCuda(), "cpu")
        dense = network._product()
        assert bool((dense != 0).all())
        x = torch.randn(3, network.in_features)
        torch.testing.assert_close(network.exact(x), (x @ dense.T).double(), rtol=1e-4, atol=1e-4)


def test_merged_networks_give_the_same_neurons() -> None:
    rng = np.random.default_rng(0)
    weights = [np.repeat(rng.random((4, 16)), 4, axis=0) for _ in range(3)]
    x, y = (rng.random((2, 16)) for _ in range(2))
    y = x
    for weight in weights:
        x = np.maximum(x @ weight.T - 1, 0)
    for weight in merge_equal(weights):
        y = np.maximum(y @ weight.T - 1, 0)
    assert y.shape == (2, 4)
    np.testing.assert_allclose(np.sort(y), np.sort(x[:, ::4]), rtol=1e-5)


def test_the_networks_of_the_graph_challenge_agree_with_float64() -> None:
    for case in (case for case in all_cases() if case.group == "graph challenge"):
        made = bench()
        network = Network(case, torch, made.cuda, "cpu")
        network._layers = network._layers[:3]
        x = network.inputs(4, 1)[0]
        call, _ = network.ours(4)
        exact = network.exact(x)
        assert float((call(x).double() - exact).norm() / exact.norm()) < 3e-3
        assert case.edges == 32 * 1024 * 120


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    made = bench()
    monkeypatch.setattr(Bench, "ceilings", lambda self: dict(CEILINGS))
    told: list[str] = []
    cases = [CASES[0], CASES[4], square(128, 32, 0.3, BF16, (3,), ("torch 2:4",))]
    given = run(made, cases, 60, told.append)
    assert len(told) == 4 and "memory 4.00 TB/s" in told[0]
    return given


def test_what_was_found_goes_to_json_and_a_page(found: dict[str, Any], tmp_path: Path) -> None:
    gpu.write(found, tmp_path)
    assert json.loads((tmp_path / "gpu.json").read_text())["results"][0]["batch"] == 5
    text = (tmp_path / "gpu.md").read_text()
    assert text == page(json.loads((tmp_path / "gpu.json").read_text()))
    for words in ("Fake GPU", "## Square layers", "## Cascades", "not measured", "torch 2:4, bf16"):
        assert words in text
    assert not found["left_out"]


def test_what_does_not_fit_the_seconds_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Bench, "ceilings", lambda self: dict(CEILINGS))
    found = run(bench(), CASES, -1, lambda text: None)
    assert not found["results"]
    assert len(found["left_out"]) == len(CASES)
    assert "Left out for want of time, 7 in all: 128 blocks 32" in page(found)


def test_ceilings_are_measured() -> None:
    limits = bench().ceilings(width=64, nbytes=1 << 16)
    assert set(limits) == set(CEILINGS)
    assert all(value > 0 for value in limits.values())


def row(case: str, types: tuple[str, str], batch: int, ours: float, **rest: Any) -> dict[str, Any]:
    timing = {"low_us": ours, "high_us": ours, "samples": 9}
    made = {
        "case": case, "types": list(types), "batch": batch,
        "kernels": ["bsr_bf16_bf16_r64_rs64_bm128"],
        "timings": {"nfcompile": {"median_us": ours, **timing},
                    "dense": {"median_us": 800.0, **timing}},
        "errors": {}, "reasons": {}, "matrix_share": 0.65, "memory_share": 0.75, "cold": True,
        "edges_per_s": 0.0, "group": "square",
    }  # fmt: skip
    return {**made, **rest}


def test_goals_are_told_as_reached_or_missed() -> None:
    rows = [
        row("8192 blocks 64 density 0.10", BF16, 4096, 160.0),
        row("8192 blocks 64 density 0.10", BF16, 1, 4.0, memory_share=0.5),
        row("cascade 16384 of radix 128", BF16, 4096, 50.0),
        row("cascade 16384 of radix 128", BF16, 256, 5.0),
        row("graph challenge 1024x120 csr", FP16, 8192, 50.0, edges_per_s=2e12),
    ]
    (table,) = goals(rows)
    lines = table.splitlines()[2:]
    marks = [line.split("|")[-2].strip() for line in lines]
    assert marks == ["reached", "reached", "reached", "missed", "missed"]
    assert "5.00x" in lines[0] and "16.00x" in lines[2] and "2.00 TE/s" in lines[4]


def test_constants_are_replaced_by_what_was_measured_and_nothing_else() -> None:
    former = json.loads((Path(gpu.__file__).parents[1] / "nfcompile/cost/gpu.json").read_text())
    found = {
        "device": {"name": "Fake", "multiprocessors": 99, "l2_bytes": 4e7},
        "ceilings": CEILINGS,
        "date": "2030-01-01",
        "results": [
            row("a", BF16, 4096, 1.0),
            row("b", BF16, 8192, 1.0, matrix_share=0.5),
            row("c", BF16, 16, 1.0, matrix_share=9.0),
            row("d", NARROW, 4096, 1.0, matrix_share=9.0,
                kernels=["bsr_f32_bf16_r64_rs64_bm64"]),
            row("e", FP32, 4096, 1.0, matrix_share=0.4,
                kernels=["block_diagonal_small_f32_f32_s4_g32_bm16_a1"]),
            row("f", BF16, 4096, 1.0, matrix_share=9.0, kernels=["csr_bf16_bf16_u16_rn4"]),
        ],
    }  # fmt: skip
    made = constants_from(found, former, "a command")
    rates = made["constants"]["tflops"]
    assert rates["bsr"]["64"]["bf16"] == 520.0
    assert rates["block_diagonal_small"]["4"]["fp32"] == 40.0
    assert rates["dense"] == {"fp32": 300, "fp16": 800, "bf16": 800}
    assert made["constants"]["memory_tbps"] == 4.0
    assert made["constants"]["multiprocessors"] == 99
    assert "tflops.dense" in made["provenance"]["measured"]
    # Of 64 rows of blocks, 128 rows of the batch at a time, at 0.65 of 800 Tflop/s.
    assert made["constants"]["l2_tbps"] == round(520 * (1 / 64 + 1 / 128), 1) == 12.2
    assert made["constants"]["read_tbps"] == 5.0
    assert "node_us" not in made["provenance"]["measured"]
    assert made["provenance"]["command"] == "a command"
    rates["bsr"]["64"]["bf16"] = former["constants"]["tflops"]["bsr"]["64"]["bf16"]
    assert rates["bsr"] == former["constants"]["tflops"]["bsr"]


@pytest.mark.parametrize("nodes", [{"dense": 9.5, "nfcompile": 6.5}, "no CUDA"])
def test_costs_of_nodes_are_kept_where_nobody_measured_them(nodes: dict[str, float] | str) -> None:
    former = json.loads((Path(gpu.__file__).parents[1] / "nfcompile/cost/gpu.json").read_text())
    found = {
        "device": {"name": "Fake", "multiprocessors": 99, "l2_bytes": 4e7},
        "ceilings": CEILINGS, "date": "2030-01-01", "results": [], "nodes": nodes,
    }  # fmt: skip
    made = constants_from(found, former, "a command")["constants"]
    told = isinstance(nodes, dict)
    assert made["node_us"] == (6.5 if told else former["constants"]["node_us"])
    assert made["l2_tbps"] == former["constants"]["l2_tbps"]


def test_a_slower_read_of_the_cache_of_the_same_gpu_is_no_news() -> None:
    former = json.loads((Path(gpu.__file__).parents[1] / "nfcompile/cost/gpu.json").read_text())
    slow = row("a", BF16, 4096, 1.0, matrix_share=0.01)
    both = row("b", BF16, 4096, 1.0, kernels=["bsr_bf16_bf16_r64_rs64_bm128", "csr_bf16"])
    device = {"name": former["provenance"]["gpu"], "multiprocessors": 99, "l2_bytes": 4e7}
    found = {
        "device": device, "ceilings": CEILINGS, "date": "2030-01-01", "results": [slow, both],
    }  # fmt: skip
    kept = constants_from(found, former, "")["constants"]["l2_tbps"]
    assert kept == former["constants"]["l2_tbps"]


def test_without_a_gpu_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="needs PyTorch with CUDA: it sees no GPU"):
        gpu.device_modules()

"""The suite compares before it times, lets all take turns, and never crashes on an engine."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from nfcompile.bench import measurement
from nfcompile.bench.case import Case, Network
from nfcompile.bench.contenders import Contender
from nfcompile.bench.suite import Plan, run_suite
from nfcompile.errors import EngineMissingError, InputError, UnsupportedModelError
from nfcompile.ir.protobuf import write_model
from nfcompile.models.chain import chain
from nfcompile.runtime.engine import TimedCall

WEIGHT = np.eye(4, dtype=np.float32)
PLAN = Plan(batches=(1, 3), threads=(1, 2), warmup_s=0, time_s=1e-9)
SLOW_US = 60e3  # settled by itself: one call a turn


class FakeEngine:
    """Computes `x * factor + 0.01`, tells what it is asked to do, and takes no time."""

    def __init__(self, name: str, log: list[str], factor: float = 1.0, us: float = SLOW_US):
        self.name, self.log, self.factor, self.us = name, log, factor, us

    def load(self, path: Path, threads: int) -> "FakeEngine":
        self.log.append(f"load {self.name} {threads}")
        return self

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.log.append(f"run {self.name}")
        return {f"{self.name}.y": inputs["x"] * np.float32(self.factor) + np.float32(0.01)}

    def timed(self, inputs: Mapping[str, np.ndarray]) -> TimedCall:
        def call() -> float:
            self.log.append(f"time {self.name}")
            return self.us

        return call


def contender(engine: FakeEngine, precision: str = "fp32", ours: bool = False) -> Contender:
    return Contender(engine.name, precision, ours, lambda n, f, t: n.graph, engine.load)


def tiny(alive: bool = False) -> Case:
    def build(folder: Path) -> Network:
        write_model(chain([WEIGHT]), folder / "m.onnx")
        return Network(folder / "m.onnx", folder / "m.onnx", folder / "m.onnx")

    def inputs(batch: int) -> dict[str, np.ndarray]:
        return {"x": np.full((batch, 4), -0.01 if alive else 1.0, np.float32)}

    return Case("tiny", "an identity", build, {"": inputs}, alive=("",) if alive else ())


@pytest.fixture(autouse=True)
def one_call_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "_TURN_S", 1e-9)


def test_every_case_threads_and_batch_has_a_cell_of_each_contender() -> None:
    log: list[str] = []
    cells = list(run_suite([tiny()], [contender(FakeEngine(n, log)) for n in "ab"], PLAN))
    assert [(c.case, c.threads, c.batch, c.contender) for c in cells] == [
        ("tiny", threads, batch, name) for threads in (1, 2) for batch in (1, 3) for name in "ab"
    ]
    assert all(c.timing and c.timing.median_us == SLOW_US and not c.reason for c in cells)
    assert [line for line in log if "load" in line] == [
        "load a 1",
        "load b 1",
        "load a 2",
        "load b 2",
    ]


def test_outputs_are_compared_before_anything_is_timed() -> None:
    log: list[str] = []
    plan = Plan(batches=(1,), threads=(1,), warmup_s=0, time_s=1e-9)
    cells = list(run_suite([tiny()], [contender(FakeEngine(n, log)) for n in "ab"], plan))
    steps = [line.split()[0] for line in log]
    assert "run" not in steps[steps.index("time") :]
    timed = "".join(line[-1] for line in log if line.startswith("time"))
    assert timed.startswith("aabb")  # each is tried twice, which compiles and settles it
    assert timed.endswith("abbaabbaab"[1:])  # then they take turns
    assert [cell.samples for cell in cells] == [5, 5]


def test_an_fp32_engine_that_disagrees_gets_no_time() -> None:
    log: list[str] = []
    engines = [FakeEngine("ort", log), FakeEngine("off", log, factor=1.01)]
    cells = list(run_suite([tiny()], [contender(e) for e in engines], PLAN))
    wrong = [c for c in cells if c.contender == "off"]
    assert all(c.timing is None and c.reason.startswith("wrong: 4 of 4") for c in wrong[:1])
    assert wrong[0].error == pytest.approx(0.01 / 1.01, rel=1e-3)
    assert "time off" not in log
    assert all(c.timing for c in cells if c.contender == "ort")


def test_a_narrow_engine_tells_its_error_and_is_timed_unless_it_is_wild() -> None:
    log: list[str] = []
    made = [
        contender(FakeEngine("ort", log)),
        contender(FakeEngine("near", log, factor=1.01), "bf16"),
        contender(FakeEngine("wild", log, factor=3), "int8"),
        contender(FakeEngine("nan", log, factor=float("nan")), "int8"),
    ]
    cells = {c.contender: c for c in run_suite([tiny()], made, Plan((1,), (1,), 0, 1e-9))}
    assert cells["near"].timing and cells["near"].error == pytest.approx(0.01 / 1.01, rel=1e-3)
    assert cells["wild"].timing is None and "relative error 2" in cells["wild"].reason
    assert cells["nan"].timing is None


class Broken(FakeEngine):
    """Fails at one step."""

    def __init__(self, name: str, step: str, error: Exception) -> None:
        super().__init__(name, [])
        self.step, self.error = step, error

    def load(self, path: Path, threads: int) -> "FakeEngine":
        if self.step == "load":
            raise self.error
        return self

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.step == "run":
            raise self.error
        return super().run(inputs)

    def timed(self, inputs: Mapping[str, np.ndarray]) -> TimedCall:
        if self.step == "timed":
            raise self.error
        return super().timed(inputs)


@pytest.mark.parametrize("step", ["load", "run", "timed"])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (EngineMissingError("pip install it"), "pip install it"),
        (UnsupportedModelError("cannot"), "cannot"),
        (RuntimeError("deep\nmore"), "RuntimeError: deep"),
    ],
)
def test_what_fails_is_a_cell_with_its_reason(step: str, error: Exception, told: str) -> None:
    made = [contender(FakeEngine("ort", [])), contender(Broken("bad", step, error))]
    cells = {c.contender: c for c in run_suite([tiny()], made, Plan((1,), (1,), 0, 1e-9))}
    assert cells["bad"].reason == told
    assert cells["bad"].timing is None
    assert cells["ort"].timing


def test_a_hopelessly_slow_engine_is_told_with_its_time() -> None:
    made = [contender(FakeEngine("ort", [])), contender(FakeEngine("slow", [], us=5e6))]
    cells = {c.contender: c for c in run_suite([tiny()], made, Plan((1,), (1,), 0, 1e-9))}
    assert cells["slow"].reason == "not timed further: one call took 5.0 s"


def test_rows_that_must_live_are_checked() -> None:
    cells = list(run_suite([tiny(alive=True)], [contender(FakeEngine("ort", []))], PLAN))
    assert all("a row of these inputs dies" in c.reason and not c.timing for c in cells)


def test_scipy_is_the_reference_where_there_is_no_onnxruntime() -> None:
    made = [contender(FakeEngine("good", [])), contender(FakeEngine("off", [], factor=2))]
    cells = {c.contender: c for c in run_suite([tiny()], made, Plan((1,), (1,), 0, 1e-9))}
    assert cells["good"].timing and not cells["off"].timing


def test_a_contender_may_be_for_some_cases_only() -> None:
    special = dataclasses.replace(contender(FakeEngine("special", [])), cases="graph")
    cells = run_suite([tiny()], [contender(FakeEngine("ort", [])), special], PLAN)
    assert {cell.contender for cell in cells} == {"ort"}


def test_without_a_reference_nothing_is_timed() -> None:
    made = [contender(Broken("ort", "run", RuntimeError("bad"))), contender(FakeEngine("a", []))]
    cells = list(run_suite([tiny()], made, PLAN))
    assert {cell.reason for cell in cells} == {"no reference: RuntimeError: bad"}


def test_a_case_that_cannot_be_built_is_told() -> None:
    def build(folder: Path) -> Network:
        raise EngineMissingError("pip install torch")

    case = dataclasses.replace(tiny(), build=build)
    cells = list(run_suite([case], [contender(FakeEngine("ort", []))], PLAN))
    assert len(cells) == 4
    assert {cell.reason for cell in cells} == {"pip install torch"}


def test_steps_are_counted() -> None:
    steps: list[str] = []
    list(run_suite([tiny()], [contender(FakeEngine("ort", []))], PLAN, steps.append))
    assert "1 of 4: tiny, 1 threads, batch 1" in steps
    assert "4 of 4: tiny, 2 threads, batch 3" in steps


def test_times_must_be_positive() -> None:
    with pytest.raises(InputError, match="seconds must be positive"):
        Plan(time_s=0)

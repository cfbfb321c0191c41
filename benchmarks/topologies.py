"""Measures topologies and writes docs/topologies.md with its pictures.

python benchmarks/topologies.py [--results out/topologies.jsonl] [--docs docs]     (make topologies)

Training and scoring results are kept in the results file: a second run only repeats the timings.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from topologies_page import Measured, page

from nfcompile.bench.environment import describe
from nfcompile.study.plots import (
    draw_accuracy,
    draw_heuristic,
    draw_pareto,
    draw_topology,
    draw_training,
)
from nfcompile.study.recommend import recommend
from nfcompile.study.summary import outcomes
from nfcompile.study.sweep import Task, run_tasks
from nfcompile.study.tasks import run_task, score_task, train_tasks
from nfcompile.topology import Dense, parse
from nfcompile.topology.fit import fit_all

WIDTH = 64
BUDGETS = (768, 1024, 1536, 3072)
DEEP_BUDGETS = (1536, 3072)
LAYERS, DEEP_LAYERS = 2, 8
WIDER, WIDER_BUDGETS = 256, (8192, 20480)
CLOS = "clos(n=256, m=16, q=16)"
SEEDS = range(5)
EPOCHS = 15

CASCADES = ("torus(n=128, dims=1)", "hypercube(n=64, layers=64)")
CASCADE_EPOCHS = 25

WIDE = (
    "low-rank(n=65536, rank=64)",
    "torus(n=65536, dims=4)",
    "hypercube(n=65536)",
    "butterfly(n=65536, radix=16)",
    "clos(n=65536, m=256, q=256)",
    "random(n=65536, degree=16)",
    "expander(n=65536, degree=16)",
    "radix-net(radices=[16, 16, 16, 16])",
    "monarch(n=65536)",
    "pixelfly(n=65536, block=32, rank=64)",
    "parallel-butterfly(n=65536, radix=16, parallel=2)",
)
MASKS = """
import json, pathlib, sys, time
from nfcompile.topology import parse
def peak():  # not getrusage, whose peak a process takes over from the one that started it
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
before, start = peak(), time.perf_counter()
masks = parse(sys.argv[1]).factors()
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "bytes": peak() - before,
    "edges": sum(m.nnz for m in masks), "factors": len(masks)}))
"""


def sweep_tasks() -> Iterator[Task]:
    """Scores and training runs: equal budgets, with and without skip, shallow and deep."""
    for edges in BUDGETS:
        for member in fit_all(WIDTH, WIDTH, edges, per_kind=2):
            yield score_task(member)
    for width, layers, budgets, per_kind, named in (
        (WIDTH, LAYERS, BUDGETS, 2, [Dense(WIDTH)]),
        (WIDER, LAYERS, WIDER_BUDGETS, 1, [Dense(WIDER), parse(CLOS)]),
        (WIDTH, DEEP_LAYERS, DEEP_BUDGETS, 1, [Dense(WIDTH)]),
    ):
        members = [m for edges in budgets for m in fit_all(width, width, edges, per_kind=per_kind)]
        for member in (*members, *named):
            for skip in (False, True):
                found = replace(member, skip=skip)
                yield from train_tasks(found, "digits", SEEDS, layers=layers, epochs=EPOCHS)


def cascade_tasks() -> Iterator[Task]:
    """Cascades of 64 factors, initialized by true fan-ins and as if they were dense."""
    for text in CASCADES:
        for init in ("fan_in", "dense"):
            yield from train_tasks(
                parse(text), "digits", range(3), layers=1, epochs=CASCADE_EPOCHS, init=init
            )


def run_all(tasks: list[Task], results: Path, title: str) -> list[dict[str, Any]]:
    """Runs what the file does not hold yet, with a progress bar."""
    with Progress(console=Console(stderr=True)) as bar:
        shown = bar.add_task(title)
        return run_tasks(
            tasks,
            run_task,
            results,
            progress=lambda done, total: bar.update(shown, completed=done, total=total),
        )


def measure_masks() -> list[dict[str, Any]]:
    """Time and memory of making all masks at width 65,536, each in a process of its own."""
    found = []
    for text in WIDE:
        command = [sys.executable, "-c", MASKS, text]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append({"topology": text, **json.loads(done.stdout)})
    return found


def main() -> None:
    """Measures, draws and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("out/topologies.jsonl"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--sweep-only", action="store_true", help="only fill the results file")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    records = run_all(list(sweep_tasks()), options.results, "scoring and training")
    cascades = run_all(list(cascade_tasks()), options.results, "cascades of 64 factors")
    if options.sweep_only:
        return
    pictures = options.docs / "topologies"
    pictures.mkdir(parents=True, exist_ok=True)
    found = outcomes(records)
    narrow = [o for o in found if f", {LAYERS} layers" in o.setting and o.edges <= WIDTH**2]
    draw_topology(
        parse("parallel-butterfly(n=64, radix=4, parallel=2)"), pictures / "parallel-butterfly.png"
    )
    draw_accuracy(narrow, pictures / "accuracy.png")
    draw_heuristic(narrow, pictures / "heuristic.png")
    draw_training(
        {
            f"{r['task']['topology']}, {r['task']['init']}": r["result"]["losses"]
            for r in cascades
            if r["task"]["seed"] == 0
        },
        pictures / "initialization.png",
        "One cascade of 64 factors, trained on digits",
    )
    step = options.results.with_name("training_step.json")
    program = Path(__file__).with_name("training_step.py")
    subprocess.run([sys.executable, program, "--out", step], check=True)
    recommendation = recommend(1024, 1024, 65536, results=options.results)
    draw_pareto(recommendation, pictures / "pareto.png", 64)
    measured = Measured(
        environment=describe(1),
        outcomes=found,
        cascades=cascades,
        masks=measure_masks(),
        training_step=json.loads(step.read_text()),
        recommendation=recommendation,
    )
    written = options.docs / "topologies.md.tmp"
    written.write_text(page(measured))
    written.replace(options.docs / "topologies.md")


if __name__ == "__main__":
    main()

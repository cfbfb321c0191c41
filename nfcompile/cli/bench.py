"""`nfcompile bench`: times models against each other, after checking that they agree."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from nfcompile.cli.options import Json, OpLibraries, Threads
from nfcompile.cli.output import check_json, guarded, progress, show_table, table, write_json
from nfcompile.errors import InputError

__all__ = ["bench_command"]


@guarded
def bench_command(
    models: Annotated[list[Path], typer.Argument(help="Models; the first is the baseline.")],
    batch: Annotated[
        str | None, typer.Option(help="Batch sizes.", show_default="1,16,64, or what is fixed")
    ] = None,
    threads: Threads = None,
    warmup: Annotated[float, typer.Option("-w", "--warmup", help="Seconds of warm-up.")] = 0.2,
    time: Annotated[float, typer.Option("-t", "--time", help="Seconds per model and batch.")] = 1.0,
    op_library: OpLibraries = None,
    json: Json = None,
) -> None:
    """Time models side by side, after checking that outputs agree."""
    from nfcompile.bench import compare
    from nfcompile.bench.environment import describe

    check_json(json)
    with progress() as step:
        rows = compare(
            models,
            None if batch is None else _sizes(batch),
            threads=threads,
            warmup_s=warmup,
            time_s=time,
            op_libraries=op_library or (),
            progress=step,
        )
    if json is not None:
        listed = [dataclasses.asdict(row) for row in rows]
        write_json({"environment": describe(threads), "rows": listed}, json)
    made = table(
        f"Microseconds per call, {describe(threads)['threads']} threads",
        ">batch", "model", ">median", ">p95", ">spread", ">speed-up",
    )  # fmt: skip
    for row in rows:
        made.add_row(
            str(row.batch),
            row.model,
            f"{row.median_us:.1f}",
            f"{row.p95_us:.1f}",
            f"{row.spread:.0%}",
            f"{row.ratio:.2f}x",
        )
    show_table(made, stderr=json == "-")


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise InputError(f"batch must be sizes of at least 1 with commas between, got {text!r}")
    return sizes

"""`nfcompile bench`: times models against each other, after checking that they agree."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from nfcompile.cli.bench_suite import run_bench_suite
from nfcompile.cli.options import Json, OpLibraries
from nfcompile.cli.output import check_json, guarded, progress, show_table, table, talk, write_json
from nfcompile.errors import InputError

__all__ = ["bench_command"]

_SUITE = "Suite"


@guarded
def bench_command(
    models: Annotated[
        list[Path] | None, typer.Argument(help="Models; the first is the baseline.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="Batch sizes.", show_default="1,16,64, or what is fixed")
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            help="Length of other open dimensions: tokens, sides of images.", show_default="a few"
        ),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(help="Threads of one inference.", show_default="all cores; 1,2 for a suite"),
    ] = None,
    warmup: Annotated[float, typer.Option("-w", "--warmup", help="Seconds of warm-up.")] = 0.2,
    time: Annotated[
        float | None,
        typer.Option(
            "-t", "--time", help="Seconds per model and batch.", show_default="1; 0.5 for a suite"
        ),
    ] = None,
    op_library: OpLibraries = None,
    json: Json = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Run a suite instead: cpu, gpu or networks.",
            rich_help_panel=_SUITE,
        ),
    ] = None,
    cases: Annotated[
        str | None,
        typer.Option(
            help="Beginnings of names.", show_default="all cases", rich_help_panel=_SUITE
        ),
    ] = None,
    engines: Annotated[
        str | None,
        typer.Option(help="Names.", show_default="all engines", rich_help_panel=_SUITE),
    ] = None,
    isa: Annotated[
        str | None,
        typer.Option(
            help="Hold engines to avx2 or avx512, those that can be.", rich_help_panel=_SUITE
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write Markdown to FILE.",
            show_default="stdout", rich_help_panel=_SUITE,
        ),
    ] = None,
) -> None:  # fmt: skip
    """Time models side by side, after checking that outputs agree."""
    check_json(json)
    if suite is not None:
        if models or op_library or length is not None:
            raise InputError("a suite has models of its own: give either models or --suite")
        run_bench_suite(
            suite, cases=cases, engines=engines, isa=isa, batch=batch, threads=threads,
            warmup=warmup, time=time, json=json, output=output,
        )  # fmt: skip
        return
    for name, value in zip(
        ("cases", "engines", "isa", "output"), (cases, engines, isa, output), strict=True
    ):
        if value is not None:
            raise InputError(f"--{name} goes with --suite only")
    if not models:
        raise InputError("give the models to time, or --suite cpu, gpu or networks")
    _bench_models(models, batch, length, _one(threads), warmup, 1.0 if time is None else time,
                  op_library or [], json)  # fmt: skip


def _bench_models(
    models: list[Path], batch: str | None, length: int | None, threads: int | None,
    warmup: float, time: float, op_library: list[str], json: str | None,
) -> None:  # fmt: skip
    from nfcompile.bench import compare
    from nfcompile.bench.environment import describe

    with progress() as step:
        rows = compare(
            models,
            None if batch is None else _sizes(batch),
            length=length,
            threads=threads,
            warmup_s=warmup,
            time_s=time,
            op_libraries=op_library,
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
    shapes = " and ".join(f"{name} {list(shape)}" for name, shape in rows[-1].shapes.items())
    talk(f"inputs at batch {rows[-1].batch}: {shapes}")


def _one(threads: str | None) -> int | None:
    """The number of threads, if any is given.

    Raises:
        InputError: If it is not one number.
    """
    if threads is None:
        return None
    try:
        count = int(threads)
    except ValueError:
        raise InputError(f"threads must be one number for models, got {threads!r}") from None
    return count


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise InputError(f"batch must be sizes of at least 1 with commas between, got {text!r}")
    return sizes

"""`nfcompile bench --suite`: all cases on all engines; what is there is kept on interruption."""

import os
from pathlib import Path

from nfcompile.cli.options import integers
from nfcompile.cli.output import check_json, progress, talk, write_json

__all__ = ["run_bench_suite"]


def run_bench_suite(
    suite: str,
    *,
    cases: str | None,
    engines: str | None,
    isa: str | None,
    batch: str | None,
    threads: str | None,
    warmup: float,
    time: float | None,
    json: str | None,
    output: str | None,
) -> None:
    """Runs a suite; arguments are those of the command, None for the default.

    Raises:
        InputError: If an argument breaks its rule, before anything is run.
        KeyboardInterrupt: After what was measured has been written.
    """
    from nfcompile.bench.held import hold_to

    if isa is not None:
        hold_to(isa)  # before engines are loaded

    from nfcompile.bench.environment import describe
    from nfcompile.bench.report import Results
    from nfcompile.bench.roofline import measure_roofline
    from nfcompile.bench.suite import Plan, run_suite
    from nfcompile.bench.suites import pick_suite

    picked = pick_suite(suite)
    check_json(output)
    plan = Plan(
        batches=_counts(batch, "batch", picked.batches),
        threads=_counts(threads, "threads", _default_threads()),
        warmup_s=warmup,
        time_s=Plan.time_s if time is None else time,
    )
    chosen = picked.pick_cases(_words(cases))
    contenders = picked.pick_contenders(_words(engines))
    interrupted = False
    with progress(lines=True) as step:
        step("measuring the roofline")
        rooflines = {count: measure_roofline(count) for count in plan.threads}
        results = Results(
            describe(max(plan.threads)), plan, chosen, contenders, rooflines, title=picked.title
        )
        try:
            for cell in run_suite(chosen, contenders, plan, step):
                results.cells.append(cell)
            results.complete = True
        except KeyboardInterrupt:
            interrupted = True
    if json is not None:
        write_json(results.to_json(), json)
    if output not in (None, "-"):
        Path(str(output)).write_text(results.to_markdown())
        talk(f"wrote {output}")
    elif json != "-":
        print(results.to_markdown())
    if interrupted:
        raise KeyboardInterrupt


def _default_threads() -> tuple[int, ...]:
    """One and two, as far as there are cores."""
    return (1, 2) if len(os.sched_getaffinity(0)) > 1 else (1,)


def _counts(text: str | None, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return default if text is None else tuple(integers(text, name))


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]

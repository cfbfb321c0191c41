"""The command line: one module per verb; arguments in, exit code out, no logic.

Exit codes: 0 done, 1 a check failed, 2 wrong usage, 3 a model that cannot be taken, 4 a runtime
that is not installed, 130 interrupted.
"""

from typing import Annotated

import typer

from nfcompile.cli import bench, compile, env, explain, topology, verify  # noqa: A004
from nfcompile.version import __version__

__all__ = ["app"]

app = typer.Typer(
    name="nfcompile",
    help="Compiles neural networks with sparse weights into ONNX models that run sparse.",
    epilog="Exit codes: 0 done, 1 a check failed, 2 usage, 3 a model that cannot be taken, "
    "4 a runtime that is not installed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"nfcompile {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Compiles neural networks with sparse weights into ONNX models that run sparse."""


app.command("compile")(compile.compile_command)
app.command("verify")(verify.verify_command)
app.command("explain")(explain.explain_command)
app.command("bench")(bench.bench_command)
app.command("env")(env.env_command)
app.add_typer(topology.app)

"""`nfcompile topology`: what to train, decided before training; one module per verb."""

import typer

from nfcompile.cli.topology import list, plot, recommend, score, show, sweep  # noqa: A004

__all__ = ["app"]

app = typer.Typer(
    name="topology",
    help="Find, judge, compare and draw sparse topologies: what to train.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(list.list_command)
app.command("show")(show.show_command)
app.command("score")(score.score_command)
app.command("sweep")(sweep.sweep_command)
app.command("recommend")(recommend.recommend_command)
app.command("plot")(plot.plot_command)

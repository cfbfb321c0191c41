"""`nfcompile topology plot`: a picture of a topology, or of what a sweep found."""

from pathlib import Path
from typing import Annotated

import typer

from nfcompile.cli.options import InFeatures, Json, OutFeatures, Width, width_pair
from nfcompile.cli.output import check_json, guarded, progress, talk, write_json
from nfcompile.cli.topology.spelling import read_topology
from nfcompile.errors import InputError

__all__ = ["plot_command"]

_OF_A_TOPOLOGY = ("masks", "paths")
_OF_A_SWEEP = ("accuracy", "heuristic")


@guarded
def plot_command(
    source: Annotated[str, typer.Argument(help="A topology, or the results file of a sweep.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture: .png, .svg or .pdf.")],
    what: Annotated[
        str | None,
        typer.Option(
            help="masks or paths of a topology; accuracy or heuristic of a sweep.",
            show_default="masks, or accuracy",
        ),
    ] = None,
    n: Width = None,
    in_features: InFeatures = None,
    out_features: OutFeatures = None,
    json: Json = None,
) -> None:
    """Draw a topology's masks and paths, or the accuracy and scores of a sweep."""
    from nfcompile.study import plots
    from nfcompile.study.reading import read_outcomes

    check_json(json)
    plots.check_picture(output)
    if what not in (None, *_OF_A_TOPOLOGY, *_OF_A_SWEEP):
        raise InputError(f"what must be masks, paths, accuracy or heuristic, got {what!r}")
    is_sweep = _is_file(source)
    fitting = _OF_A_SWEEP if is_sweep else _OF_A_TOPOLOGY
    what = what or fitting[0]
    if what not in fitting:
        of = "a results file" if is_sweep else "a topology"
        raise InputError(f"{of} can be drawn as {' or '.join(fitting)}, got {what}")
    with progress() as step:
        step(f"drawing {what}")
        if is_sweep:
            found = read_outcomes(Path(source))
            draw = plots.draw_accuracy if what == "accuracy" else plots.draw_heuristic
            draw(found, output)
        else:
            topology = read_topology(source, width_pair(n, in_features, out_features))
            draws = plots.draw_topology if what == "masks" else plots.draw_paths
            draws(topology, output)
    if json is not None:
        write_json({"source": source, "what": what, "picture": str(output)}, json)
    talk(f"wrote {output}")


def _is_file(source: str) -> bool:
    if "(" in source:
        return False
    if Path(source).is_file():
        return True
    if "." in source or "/" in source:
        raise InputError(f"no such file: {source}")
    return False

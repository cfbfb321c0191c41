"""Pictures of topologies and of what was found about them; they need matplotlib."""

from nfcompile.study.plots.accuracy import draw_accuracy
from nfcompile.study.plots.heuristic import draw_heuristic
from nfcompile.study.plots.masks import draw_paths, draw_topology
from nfcompile.study.plots.pareto import draw_pareto
from nfcompile.study.plots.picture import check_picture
from nfcompile.study.plots.training import draw_training

__all__ = [
    "check_picture",
    "draw_accuracy",
    "draw_heuristic",
    "draw_pareto",
    "draw_paths",
    "draw_topology",
    "draw_training",
]

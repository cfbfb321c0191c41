"""Classification data to train and judge sparse topologies on; numpy only, never downloaded."""

from nfcompile.data.catalog import NAMES, load
from nfcompile.data.dataset import Dataset

__all__ = ["NAMES", "Dataset", "load"]

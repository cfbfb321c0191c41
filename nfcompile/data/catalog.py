"""The data sets by name."""

from collections.abc import Callable
from pathlib import Path

from nfcompile.data.cifar import load_cifar_10
from nfcompile.data.dataset import Dataset
from nfcompile.data.digits import load_digits
from nfcompile.data.mnist import load_fashion_mnist, load_mnist
from nfcompile.errors import InputError, closest

__all__ = ["NAMES", "load"]

_LOADERS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": lambda _: load_digits(),
    "mnist": load_mnist,
    "fashion-mnist": load_fashion_mnist,
    "cifar-10": load_cifar_10,
}

NAMES = tuple(_LOADERS)


def load(name: str, folder: Path | None = None) -> Dataset:
    """Reads a data set from local files; nothing is ever downloaded.

    Args:
        name: One of `NAMES`.
        folder: Where its files are; `digits` comes with scikit-learn and needs none.

    Raises:
        InputError: If the name is unknown, or files are missing or broken.
        EngineMissingError: If scikit-learn, which `digits` needs, is not installed.
    """
    if name not in _LOADERS:
        raise InputError(f"unknown data set {name!r}; {closest(name, NAMES)}")
    return _LOADERS[name](None if folder is None else Path(folder))

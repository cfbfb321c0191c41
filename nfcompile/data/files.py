"""Finds the files of a data set: in the folder given, or where torchvision puts them below it."""

import os
from collections.abc import Sequence
from pathlib import Path

from nfcompile.errors import InputError

__all__ = ["find_files"]


def find_files(
    name: str,
    folder: Path | None,
    inner: str,
    files: Sequence[str],
    suffixes: Sequence[str] = ("",),
) -> list[Path]:
    """Paths of all files of a data set, all from one folder.

    `folder/inner` comes first: MNIST and Fashion-MNIST have the same file names, so a folder
    with one set in it and the other below gives each where it is named.

    Args:
        name: The data set.
        folder: Where to look.
        inner: A folder below it that may hold the files instead.
        files: Their names.
        suffixes: What may follow each name, in order of preference.

    Raises:
        InputError: If there is no such folder or a file is missing.
    """
    wanted = f"{', '.join(files)}{' (plain or .gz)' if '.gz' in suffixes else ''}"
    if folder is None:
        raise InputError(f"{name} needs a folder with {wanted}, or with {inner}/ that has them")
    if not os.path.isdir(folder):
        raise InputError(f"{name} needs an existing folder with {wanted}, got {folder}")
    for place in (folder / inner, folder):
        found = [_first(place, file, suffixes) for file in files]
        paths = [path for path in found if path is not None]
        if len(paths) == len(files):
            return paths
        if paths:
            missing = next(file for file, path in zip(files, found, strict=True) if path is None)
            raise InputError(f"{place} must hold {wanted} for {name}: {missing} is missing")
    raise InputError(f"{folder} must hold {wanted} for {name}, itself or in {inner}/: none found")


def _first(place: Path, file: str, suffixes: Sequence[str]) -> Path | None:
    paths = (place / (file + suffix) for suffix in suffixes)
    return next((path for path in paths if os.path.isfile(path)), None)

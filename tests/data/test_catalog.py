"""Data sets load by name, and a name that is none is answered with the nearest."""

import subprocess
import sys

import pytest

import nfcompile.data
from nfcompile.data import NAMES, Dataset, load
from nfcompile.errors import InputError


def test_digits_need_no_folder():
    data = load("digits")
    assert isinstance(data, Dataset)
    assert data.name == "digits"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "digits"])
def test_each_other_set_asks_for_its_files_under_its_own_name(name, tmp_path):
    with pytest.raises(InputError, match=f"^{name} needs a folder with"):
        load(name)
    with pytest.raises(InputError, match=f"must hold .* for {name}"):
        load(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("minst", "did you mean mnist?"),
        ("cifar10", "did you mean cifar-10?"),
        ("x", "known: cifar"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, hint):
    with pytest.raises(InputError, match=f"unknown data set '{name}'; {hint}"):
        load(name)


def test_importing_it_brings_neither_torch_nor_scikit_learn():
    heavy = "{'torch', 'onnxruntime', 'sklearn', 'scipy'}"
    code = f"import sys, {nfcompile.data.__name__}; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

"""Engines are held to an instruction set by the variables that they read."""

import os

import pytest

from nfcompile.bench.environment import describe
from nfcompile.bench.held import held_to, hold_to
from nfcompile.errors import InputError
from nfcompile.target import isa

NAMES = (
    "NFCOMPILE_MAX_ISA",
    "ONEDNN_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY",
    "MKL_ENABLE_INSTRUCTIONS",
    "NM_ARCH",
)


@pytest.fixture(autouse=True)
def put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize("name", ["avx2", "avx512"])
def test_every_engine_gets_its_own_spelling(name: str) -> None:
    assert held_to() == ""
    hold_to(name)
    assert held_to() == name
    assert all(os.environ[variable].lower().startswith(name) for variable in NAMES)
    assert isa() in {"avx2": ("avx2", "scalar"), "avx512": ("avx512", "avx2", "scalar")}[name]
    assert describe()["held_to"] == name


def test_another_set_is_refused_and_nothing_is_set() -> None:
    with pytest.raises(InputError, match="isa must be one of avx2, avx512, got 'sse2'"):
        hold_to("sse2")
    assert not any(os.environ[variable] for variable in NAMES)

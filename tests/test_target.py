"""What this machine is, and how it may be lowered."""

import pytest

import nfcompile.target
from nfcompile.errors import InputError
from nfcompile.target import Target, caches, cpu_name, isa


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(nfcompile.target, "cpu_flags", lambda: frozenset(found))
    monkeypatch.delenv("NFCOMPILE_MAX_ISA", raising=False)
    return found


AVX2 = ["avx2", "fma"]
AVX512 = [*AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl"]


def test_the_best_instruction_set_is_picked(flags: list[str]) -> None:
    assert isa() == "scalar"
    flags += AVX2
    assert isa() == "avx2"
    flags += AVX512
    assert isa() == "avx512"


def test_the_variable_can_only_lower_it(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    flags += AVX2
    monkeypatch.setenv("NFCOMPILE_MAX_ISA", "avx512")
    assert isa() == "avx2"
    monkeypatch.setenv("NFCOMPILE_MAX_ISA", "scalar")
    assert isa() == "scalar"
    monkeypatch.setenv("NFCOMPILE_MAX_ISA", "sse9")
    with pytest.raises(
        InputError, match="must be one of avx512_bf16, avx512, avx2, scalar, got 'sse9'"
    ):
        isa()


def test_it_agrees_with_what_the_library_picks() -> None:
    from nfcompile import _native

    assert isa() == _native.selected_isa()


def test_this_machine_is_described() -> None:
    assert cpu_name()
    assert all(size for size in caches().values())
    assert Target.host().threads >= 1
    assert Target.host(threads=3).threads == 3

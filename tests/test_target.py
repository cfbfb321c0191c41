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
        InputError, match="must be one of amx_bf16, avx512_bf16, avx512, avx2, scalar, got 'sse9'"
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


def test_a_layer_in_half_precision_keeps_its_type_whatever_the_precision() -> None:
    for half in ("fp16", "bf16"):
        target = Target("ort-cuda", precision="fp32", half=half)
        assert (target.stored, target.value_bytes, target.activation_bytes) == (half, 2, 2)
    narrow = Target("ort-cuda", precision="bf16")
    assert (narrow.stored, narrow.value_bytes, narrow.activation_bytes) == ("bf16", 2, 4)
    assert (Target().stored, Target().value_bytes, Target().activation_bytes) == ("fp32", 4, 4)


@pytest.mark.parametrize(
    ("name", "precision", "words"),
    [
        ("gpu", "fp32", "unknown target 'gpu': known: ort-cpu, ort-cuda, portable"),
        ("ort-cuda", "int8", r"precision must be one of fp32, bf16, got 'int8'$"),
        ("ort-cuda", "fp16", "got 'fp16': a model in fp16 is compiled as it is"),
        ("portable", "bf16", "precision must be fp32 for target portable"),
    ],
)
def test_what_there_is_not_is_told(name: str, precision: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Target(name, precision=precision)

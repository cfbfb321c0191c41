"""Cases are picked by their beginnings, engines by their names, of the suite's table."""

import pytest

from nfcompile.bench.contenders import CONTENDERS, REFERENCE
from nfcompile.bench.suites import SUITES, pick_suite
from nfcompile.errors import InputError


def test_cases_are_picked_by_their_beginnings() -> None:
    suite = pick_suite("cpu")
    assert [case.name for case in suite.pick_cases(["mlp-block-16", "tall"])] == [
        "mlp-block-16-0.10", "mlp-block-16-0.05", "tall",
    ]  # fmt: skip
    assert suite.pick_cases(None) == list(suite.cases)
    with pytest.raises(InputError, match="no case begins with 'tal1'; did you mean tall"):
        suite.pick_cases(["tal1"])


def test_names_are_told_apart() -> None:
    for suite in SUITES.values():
        names = [case.name for case in suite.cases]
        assert len(names) == len(set(names))
    known = {item.name for item in CONTENDERS}
    assert all(set(suite.engines) <= known for suite in SUITES.values())
    with pytest.raises(InputError, match="unknown suite 'netwoks'; did you mean networks"):
        pick_suite("netwoks")


def test_engines_are_the_suites_or_those_named_and_the_reference_comes_along() -> None:
    cpu, networks = SUITES["cpu"], SUITES["networks"]
    assert [item.name for item in cpu.pick_contenders(["scipy"])] == [REFERENCE, "scipy"]
    gpu = SUITES["gpu"].pick_contenders(None)
    assert [item for item in CONTENDERS if item not in gpu] == cpu.pick_contenders(None)[1:]
    assert gpu[0] is cpu.pick_contenders(None)[0]
    assert all("cuda" in item.name for item in gpu[1:])
    assert {item.name for item in networks.pick_contenders(None)} == set(networks.engines)
    with pytest.raises(InputError, match=r"unknown engine 'scipi'; did you mean scipy\?"):
        cpu.pick_contenders(["scipi"])

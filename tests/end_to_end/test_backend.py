"""Every case of onnx.backend.test compiles, and gives what it gave before."""

import pytest
from backend_cases import FORCED, KINDS, Outcome, cases, check, with_constants
from backend_test import LOCALE, PAGE, SWEEPS, excluded, sweep, versions

PARTS = 24

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", SWEEPS)
def test_cases_give_what_they_gave_before(name: str, part: int) -> None:
    outcomes = [item for found in sweep(name, slice(part, None, PARTS)).values() for item in found]
    assert outcomes
    assert {item.name: item.reason for item in outcomes if item.status == "failed"} == {}
    listed = PAGE.read_text()
    if name != SWEEPS[0] or versions() not in listed:
        return
    machine = {item.name for item in outcomes if LOCALE in item.reason}
    refused = {item.name for item in outcomes if item.status == "excluded"}
    known = excluded(listed) & {item.name for item in outcomes}
    assert refused - machine == {name for name in known if not _needs_locale(listed, name)}


def test_what_is_excluded_exists() -> None:
    listed = PAGE.read_text()
    if versions() not in listed:
        pytest.skip(f"docs/backend-test.md is of other versions than {versions()}")
    names = {case.name for kind in KINDS for case in cases(kind)}
    assert excluded(listed) <= names
    assert len(excluded(listed)) < 0.1 * len(names)


@pytest.mark.parametrize("name", ["test_gemm_default_no_bias", "test_matmul_2d"])
def test_weights_of_the_cases_run_sparse(name: str) -> None:
    # Otherwise the second sweep would show nothing of our operators.
    (case,) = (case for case in cases("node") if case.name == name)
    made = with_constants(case, replaceable=False)
    assert made is not None
    assert check(made, passes=FORCED) == Outcome(name, "passed", sparse=1)


def _needs_locale(listed: str, name: str) -> bool:
    """Whether the page excludes a case because of the machine that wrote it."""
    before = listed.partition(f"- `{name}`")[0]
    return LOCALE in before.rpartition("### ")[2]

"""Four spellings of one name, held together."""

import dataclasses
from pathlib import Path

from nfcompile.passes import OWN_PASSES, PASSES

ROOT = Path(__file__).parents[2]


def test_file_class_name_and_test_are_spelled_alike() -> None:
    files = {path.stem for path in (ROOT / "passes").glob("*.py")} - {"__init__"}
    assert files == {item.name.replace("-", "_") for item in OWN_PASSES}
    for item in OWN_PASSES:
        words = item.name.split("-")
        assert item.__name__ == "".join(word.capitalize() for word in words) + "Pass"
        assert (ROOT / "tests" / "passes" / f"test_{'_'.join(words)}.py").is_file()
        assert PASSES[item.name] is item


def test_passes_are_frozen_and_their_options_documented_with_defaults() -> None:
    for item in OWN_PASSES:
        assert dataclasses.is_dataclass(item)
        assert item.__dataclass_params__.frozen  # type: ignore[attr-defined]
        for field in dataclasses.fields(item):
            assert field.default is not dataclasses.MISSING
            assert f"{field.name}:" in (item.__doc__ or "")

"""The page about operators says what the schemas say."""

from pathlib import Path

from nfcompile.ir.documentation import operators_page
from nfcompile.ir.schemas import SCHEMAS

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == operators_page()


def test_every_input_and_attribute_is_on_it() -> None:
    sections = operators_page().split("\n## ")[1:]
    for schema, section in zip(SCHEMAS, sections, strict=True):
        for name in [*(item.name for item in schema.inputs), *schema.attributes]:
            assert f"`{name}`" in section

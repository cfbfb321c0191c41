"""Texts of input shapes say sizes, names of what may vary, and a type."""

import pytest

from nfcompile.errors import InputError
from nfcompile.frontend.input_shape import InputShape


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("8,784", InputShape((8, 784))),
        ((5, 8), InputShape((5, 8))),
        ("2, 16:int64", InputShape((2, 16), "int64")),
        ("batch=2,tokens=16:int64", InputShape((2, 16), "int64", {0: "batch", 1: "tokens"})),
        ("2,3,width=64", InputShape((2, 3, 64), "float32", {2: "width"})),
    ],
)
def test_a_shape_is_read(given: str, expected: InputShape) -> None:
    assert InputShape.parse(given) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be sizes with commas between, .* got ''"),
        ("2,x", "got '2,x'"),
        ("-1,8", "got '-1,8'"),
        ("2,=3", "got '2,=3'"),
        ("2,3:int46", "unknown type 'int46' of input shape .*; did you mean int64"),
    ],
)
def test_what_is_no_shape_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        InputShape.parse(text)

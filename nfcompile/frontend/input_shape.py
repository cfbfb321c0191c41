"""Shapes of inputs as text: `8,784`, `batch=2,tokens=128:int64`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from nfcompile.errors import InputError, closest

__all__ = ["DTYPES", "InputShape"]

DTYPES = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "bool")


@dataclass(frozen=True)
class InputShape:
    """Shape and type of an input to draw.

    Attributes:
        sizes: The shape, with the batch.
        dtype: Name of the element type, one of `DTYPES`.
        names: Of dimensions that may vary, by their index. The first may in any case.
    """

    sizes: tuple[int, ...]
    dtype: str = "float32"
    names: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, given: "tuple[int, ...] | str") -> "InputShape":
        """The shape that a text or a tuple of sizes stands for.

        Raises:
            InputError: If it is none.
        """
        if not isinstance(given, str):
            return cls(tuple(given))
        text, _, dtype = given.partition(":")
        parts = [
            re.fullmatch(r"(?:([A-Za-z_]\w*)=)?(\d+)", part.strip()) for part in text.split(",")
        ]
        found = [part for part in parts if part is not None]
        if len(found) != len(parts):
            raise InputError(
                "input shape must be sizes with commas between, with names where they may vary and "
                f"a type at the end if need be, such as batch=2,tokens=128:int64, got {given!r}"
            )
        if dtype and dtype not in DTYPES:
            raise InputError(
                f"unknown type {dtype!r} of input shape {given!r}; {closest(dtype, DTYPES)}"
            )
        names = {index: part[1] for index, part in enumerate(found) if part[1]}
        return cls(tuple(int(part[2]) for part in found), dtype or "float32", names)

"""Reads what a shared library needs and exports, without binutils. ELF, 64 bits, little-endian.

Source: System V gABI, chapters 4 and 5; the version sections are in the Linux Standard Base.
"""

import struct
from pathlib import Path
from typing import NamedTuple

_DYNAMIC, _DYNSYM, _VERNEED = 6, 11, 0x6FFFFFFE
_DT_NEEDED = 1
_UNDEFINED, _WEAK_OR_GLOBAL = 0, (1, 2)


class _Section(NamedTuple):
    kind: int
    offset: int
    size: int
    link: int  # index of the section with its strings


class Library:
    """One shared library."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        if self._data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is not a 64-bit little-endian ELF file")
        (at,) = self._unpack("<Q", 0x28)
        size, count = self._unpack("<HH", 0x3A)
        headers = (self._unpack("<IIQQQQIIQQ", at + i * size) for i in range(count))
        self._sections = [_Section(h[1], h[4], h[5], h[6]) for h in headers]

    def needed(self) -> set[str]:
        """Names of the libraries that it is linked to."""
        section, entries = self._table(_DYNAMIC, "<qQ")
        return {self._text(section, value) for tag, value in entries if tag == _DT_NEEDED}

    def exported(self) -> set[str]:
        """Names that others can link to."""
        section, symbols = self._table(_DYNSYM, "<IBBHQQ")
        return {
            self._text(section, name)
            for name, info, _, where, _, _ in symbols
            if name and where != _UNDEFINED and info >> 4 in _WEAK_OR_GLOBAL
        }

    def versions(self) -> dict[str, set[str]]:
        """Symbol versions by the library that must have them, such as GLIBC_2.34."""
        found: dict[str, set[str]] = {}
        section = next(item for item in self._sections if item.kind == _VERNEED)
        at = section.offset
        while True:
            _, count, file, first, following = self._unpack("<HHIII", at)
            names = found.setdefault(self._text(section, file), set())
            entry = at + first
            for _ in range(count):
                _, _, _, name, further = self._unpack("<IHHII", entry)
                names.add(self._text(section, name))
                entry += further
            if not following:
                return found
            at += following

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(form, self._data, at)

    def _table(self, kind: int, form: str) -> tuple[_Section, list[tuple[int, ...]]]:
        section = next(item for item in self._sections if item.kind == kind)
        content = self._data[section.offset : section.offset + section.size]
        return section, list(struct.iter_unpack(form, content))

    def _text(self, section: _Section, index: int) -> str:
        start = self._sections[section.link].offset + index
        return self._data[start : self._data.index(b"\0", start)].decode()

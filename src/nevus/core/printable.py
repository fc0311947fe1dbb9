"""Texts of strangers on a terminal: a file's name must not steer it or break a table."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with its line ends and control characters as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)

"""Texts of strangers in CSV files that people open in a spreadsheet."""

from __future__ import annotations


def cell_of(text: str) -> str:
    """A text for a cell: one that a spreadsheet would take for a formula gets an apostrophe before it.

    Bytes of a file's name that are not UTF-8 become escapes.
    """
    # The writer of older Python leaves a lone carriage return unquoted, and it would end the row.
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\r", "\\r")
    return "'" + safe if text.startswith(("=", "+", "-", "@", "\t", "\r")) else safe

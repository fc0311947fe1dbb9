"""Whether a cell of a table, or a field of a file, says who a patient or lesion is."""

from __future__ import annotations

# What tables hold where an id is not known, in lower case: words, marks, and what spreadsheets and pandas write.
_NO_ID = frozenset(
    {
        "-1",
        "-1.0",
        "0",
        "0.0",
        "-99",
        "-999",
        "?",
        "-",
        "--",
        ".",
        "#",
        "n/a",
        "n.a.",
        "na",
        "nan",
        "nat",
        "null",
        "none",
        "nil",
        "unk",
        "unknown",
        "missing",
        "undefined",
        "<na>",
        "#n/a",
        "",
        "not available",
        "not known",
        "not applicable",
    }
)


def known_id(cell: str) -> str:
    """The id that a cell holds; empty where it says that there is none, or all such images would be one patient's."""
    cell = cell.strip()
    return "" if cell.lower() in _NO_ID else cell

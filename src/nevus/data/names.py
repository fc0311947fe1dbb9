"""Names of files as text: any name, also one that is not Unicode, can be written and shown."""

from __future__ import annotations

import os
from pathlib import Path


def as_text(name: str | Path) -> str:
    """A name with the bytes that are not UTF-8 shown escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")

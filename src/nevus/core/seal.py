"""The digest in a model file's description: neither the graph nor the description has changed since it was written.

It is the SHA-256 of all else that the file holds and of the description without it, in hexadecimal, and the last field
of the description. It tells damage and an edited text, not who wrote the file: anyone can work out another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from nevus.core.errors import ModelFileError

_LAST_FIELD = re.compile(r', "digest": "([0-9a-f]{64})"\}$')
_ANY_FIELD = re.compile(r'"digest"\s*:')


def sealed(text: str, rest: Iterable[bytes | memoryview]) -> str:
    """A description with its digest.

    Args:
        text: a JSON object with at least one field.
        rest: all else that the file holds, in pieces.
    """
    if not text.endswith("}"):
        raise ValueError("expected a description, which is a JSON object")
    return f'{text[:-1]}, "digest": "{_digest(text, rest)}"}}'


def unsealed(text: str, rest: Iterable[bytes | memoryview]) -> str:
    """A description without its digest, which is checked; one that has none, of a file of before there was one, stays.

    Args:
        text: as it is in a file.
        rest: all else that the file holds, in the same pieces.

    Raises:
        ModelFileError: the file is another than the one that the digest was worked out for.
    """
    found = _LAST_FIELD.search(text)
    if found is None:
        if _ANY_FIELD.search(text):
            raise ModelFileError("The model's description is damaged: its digest is not its last field.")
        return text
    before = text[: found.start()] + "}"
    if _digest(before, rest) != found[1]:
        raise ModelFileError(
            "The file has changed since it was written: its digest, in the description, is of another graph or another "
            "description. Copy it or export the model again; a field of the description is changed with "
            "scripts/rewrite_description.py."
        )
    return before


def _digest(text: str, rest: Iterable[bytes | memoryview]) -> str:
    import hashlib  # Loads OpenSSL, which a program that opens no model does without.

    digest = hashlib.sha256()
    for piece in rest:
        digest.update(piece)
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()

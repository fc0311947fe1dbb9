"""Names for people and lesions that do not tell who they are: identifiers of images are kept only in this form.

The same identifier gives the same pseudonym everywhere, so that images of a person stay in one split. This is not
anonymity: with a list of all identifiers they can be tried one by one, which the slow function makes dearer.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

# RFC 7914: 4 MiB of memory and about 10 ms for each identifier.
_COST = {"n": 2**12, "r": 8, "p": 1}


@lru_cache(maxsize=4096)
def pseudonym(*identifier: str) -> str:
    """16 hexadecimal digits for an identifier.

    Args:
        identifier: what it consists of, such as a number and who gave it.
    """
    joined = "\0".join(part.strip() for part in identifier)
    return hashlib.scrypt(joined.encode(), salt=b"nevus", dklen=8, **_COST).hex()

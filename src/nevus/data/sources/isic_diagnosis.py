"""Diagnoses of the ISIC Archive, which come as a path from coarse to fine: Malignant, ..., Melanoma in situ."""

from __future__ import annotations

from collections.abc import Iterable

from nevus.core.clinical import known
from nevus.core.labels import BENIGN, MALIGNANT
from nevus.data.diagnoses import class_of


def finest_known(levels: Iterable[str]) -> str:
    """The finest name that has a class of its own in the table of diagnoses, or else the finest; empty if none.

    Args:
        levels: names from coarse to fine (columns diagnosis_1 to diagnosis_5, or iddx_1 to iddx_5).
    """
    names = [name for name in map(known, levels) if name][::-1]
    of_a_class = (name for name in names if class_of(name) not in (None, BENIGN, MALIGNANT))
    return next(of_a_class, names[0] if names else "")

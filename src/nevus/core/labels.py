"""Classes: their names, their order, and which are malignant.

Malignant is the positive class everywhere. Diagnosis names are compared after lower-casing
and after runs of spaces, hyphens and underscores become one underscore.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import DataError

BENIGN = "benign"
MALIGNANT = "malignant"


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a dataset or a model, in the order of the network's outputs.

    Attributes:
        names: class names, length C >= 2.
        malignant: the names that count as malignant; at least one, and not all.
    """

    names: tuple[str, ...]
    malignant: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names) or len(self.names) < 2:
            raise DataError(f"Expected two or more different classes. Received: {list(self.names)}.")
        unknown = set(self.malignant) - set(self.names)
        if unknown or not 0 < len(set(self.malignant)) < len(self.names):
            raise DataError(
                "Expected at least one malignant and one benign class. "
                f"Received: malignant {list(self.malignant)} of classes {list(self.names)}."
            )

    @property
    def malignant_mask(self) -> NDArray[np.bool_]:
        """bool [C]: which classes are malignant."""
        return np.array([name in self.malignant for name in self.names])


def normalise(name: str) -> str:
    """The form in which diagnosis names are compared."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())

"""Diagnosis names and classes: which names mean malignant, and the order of the classes.

Malignant is the positive class everywhere. Names are compared after lower-casing
and after runs of spaces, hyphens and underscores become one underscore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import DataError

BENIGN = "benign"
MALIGNANT = "malignant"

# Sources: HAM10000 (Tschandl et al. 2018) and ISIC 2018/2019 class names; 'akiec' counts as
# malignant because it joins Bowen's disease (carcinoma in situ) with actinic keratosis.
_MALIGNANT_NAMES = frozenset(
    """malignant melanoma mel melanoma_in_situ lentigo_maligna bcc basal_cell_carcinoma scc
    squamous_cell_carcinoma akiec bowens_disease bowen carcinoma cancer cancerous positive""".split()
)
_BENIGN_NAMES = frozenset(
    """benign nv nevus naevus nevi naevi melanocytic_nevus bkl benign_keratosis seborrheic_keratosis
    benign_keratosis_like_lesion benign_keratosis_like_lesions solar_lentigo lentigo_simplex
    lichen_planus_like_keratosis df dermatofibroma vasc vascular vascular_lesion vascular_lesions
    non_melanoma nonmelanoma not_melanoma non_cancer non_cancerous noncancerous normal negative""".split()
)


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


def is_malignant(diagnosis: str) -> bool | None:
    """True or False for a diagnosis name that Nevus knows, None for any other."""
    name = normalise(diagnosis)
    if name in _MALIGNANT_NAMES:
        return True
    return False if name in _BENIGN_NAMES else None


def binary_labels(diagnoses: Iterable[str], malignant: Sequence[str] = ()) -> tuple[Classes, dict[str, str]]:
    """Maps diagnoses to the two classes benign and malignant.

    Args:
        diagnoses: the diagnosis names of a dataset, as they stand there.
        malignant: names that count as malignant, all others then being benign;
            empty to look each name up in the table of known names.

    Returns:
        The classes, and a dictionary from each diagnosis to 'benign' or 'malignant'.

    Raises:
        DataError: a name is not known, or all diagnoses fall into one class.
    """
    names = sorted(set(diagnoses))
    if malignant:
        wanted = {normalise(name) for name in malignant}
        missing = wanted - {normalise(name) for name in names}
        if missing:
            raise DataError(f"--malignant names {sorted(missing)}, which no image has. Diagnoses found: {names}.")
        verdicts: dict[str, bool | None] = {name: normalise(name) in wanted for name in names}
    else:
        verdicts = {name: is_malignant(name) for name in names}
        unknown = [name for name, verdict in verdicts.items() if verdict is None]
        if unknown:
            raise DataError(
                f"Cannot tell whether {unknown} mean benign or malignant. "
                f"Name the malignant ones of {names}, as in: --malignant {unknown[0]}"
            )
    labels = {name: MALIGNANT if verdict else BENIGN for name, verdict in verdicts.items()}
    if len(set(labels.values())) < 2:
        raise DataError(
            f"All diagnoses found are {labels[names[0]] if names else 'missing'}: {names}. "
            "Expected benign and malignant ones. Name the malignant ones with --malignant."
        )
    return Classes(names=(BENIGN, MALIGNANT), malignant=(MALIGNANT,)), labels

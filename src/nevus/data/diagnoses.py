"""Diagnosis names: the class that each belongs to, and whether it is malignant. The one table of the project.

The names are in `diagnoses.csv` with the release that uses each; `MALIGNANT_CLASSES` says which classes are
malignant and docs/data.md why. Names are compared as `core.labels.normalise` gives them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from nevus.core.errors import DataError
from nevus.core.labels import BENIGN, MALIGNANT, Classes, normalise

# The classes of the table by whether they are malignant. BENIGN and MALIGNANT hold all that has no class of its own.
BENIGN_CLASSES = ("ak", "bkl", "df", "nv", "vasc", BENIGN)
MALIGNANT_CLASSES = ("akiec", "bcc", "mel", "scc", MALIGNANT)

# Fewer classes than this tell no more than benign and malignant do.
FEWEST_CLASSES = 3

# A diagnosis as its source names it, and what the source says of its malignancy as well, or None.
Named = tuple[str, bool | None]


@cache
def known_names() -> Mapping[str, str]:
    """The class of each name that the table knows, by its normalised form."""
    text = resources.files("nevus.data").joinpath("diagnoses.csv").read_text(encoding="utf-8")
    return {normalise(row["name"]): row["class"] for row in csv.DictReader(text.splitlines())}


def class_of(diagnosis: str) -> str | None:
    """The class of a diagnosis name, None if the table does not know it."""
    return known_names().get(normalise(diagnosis))


def is_malignant(diagnosis: str) -> bool | None:
    """True or False for a diagnosis name that the table knows, None for any other."""
    name = class_of(diagnosis)
    return None if name is None else name in MALIGNANT_CLASSES


def assign_classes(
    named: Iterable[Named],
    kind: str = "auto",
    malignant: Sequence[str] = (),
    rejected: Sequence[tuple[Path, str]] = (),
    *,
    needs_both: bool = True,
) -> tuple[Classes, dict[Named, str]]:
    """Decides the classes of a dataset and the class of each diagnosis in it.

    Args:
        named: the diagnoses of the images. Where a source says whether a lesion is malignant, that holds, and a name
            that the table does not know, or knows otherwise, goes into the class benign or malignant.
        kind: `binary` for the two classes benign and malignant; `diagnosis` for a class for each diagnosis; `auto` for
            the latter where every image's diagnosis has a class of its own and there are three or more.
        malignant: names that count as malignant, all others then being benign, in place of the table and of what
            sources say. Each name is then a class, or with `auto` there are two.
        rejected: images without a place, each with the reason: a class that is missing may be among them.
        needs_both: whether benign and malignant diagnoses must both be there; with `binary` alone it may be False.

    Returns:
        The classes, in order of names, of two the malignant one second; and a class for each of `named`.

    Raises:
        DataError: names are not known, or all diagnoses are benign, or all malignant.
    """
    pairs = sorted(set(named), key=str)
    if malignant:
        chosen, malignant_classes = _by_hand([name for name, _ in pairs], malignant)
        classes = {pair: chosen[pair[0]] for pair in pairs}
        by_diagnosis = kind == "diagnosis"
    else:
        classes, malignant_classes = _by_table(pairs), frozenset(MALIGNANT_CLASSES)
        found = set(classes.values())
        is_specific = len(found) >= FEWEST_CLASSES and not found & {BENIGN, MALIGNANT}
        by_diagnosis = kind == "diagnosis" or (kind == "auto" and is_specific)
    verdicts = {name in malignant_classes for name in classes.values()}
    if needs_both and len(verdicts) < 2:
        found_only = MALIGNANT if True in verdicts else BENIGN if verdicts else "missing"
        raise DataError(
            f"All diagnoses found are {found_only}: {sorted({name for name, _ in pairs})}. "
            f"Expected benign and malignant ones. Name the malignant ones with --malignant.{_left_out(rejected)}"
        )
    if not by_diagnosis:
        labels = {pair: MALIGNANT if name in malignant_classes else BENIGN for pair, name in classes.items()}
        return Classes((BENIGN, MALIGNANT), (MALIGNANT,)), labels
    names = sorted(set(classes.values()))
    if len(names) == 2:
        names.sort(key=lambda name: name in malignant_classes)
    return Classes(tuple(names), tuple(name for name in names if name in malignant_classes)), classes


def class_among(diagnosis: str, malignant: bool, classes: Classes) -> str | None:
    """The one of a model's classes that a diagnosis belongs to; None if the model has no such class.

    Args:
        diagnosis: as its source names it.
        malignant: whether the lesion is.
        classes: of the model. The classes benign and malignant take every diagnosis; any other takes those that
            have its own name, or that the table puts into it.
    """
    if set(classes.names) == {BENIGN, MALIGNANT}:
        return MALIGNANT if malignant else BENIGN
    by_name = {normalise(name): name for name in classes.names}
    found = by_name.get(normalise(diagnosis)) or by_name.get(class_of(diagnosis) or "")
    return found if found is not None and (found in classes.malignant) == malignant else None


def _left_out(rejected: Sequence[tuple[Path, str]]) -> str:
    if not rejected:
        return ""
    path, reason = rejected[0]
    return f" {len(rejected):,} other images were rejected. The first, {path}: {reason}."


def _by_table(pairs: Sequence[Named]) -> dict[Named, str]:
    classes: dict[Named, str] = {}
    unknown = []
    for name, verdict in pairs:
        known = class_of(name)
        if known is not None and (verdict is None or verdict == (known in MALIGNANT_CLASSES)):
            classes[name, verdict] = known
        elif verdict is not None:
            classes[name, verdict] = MALIGNANT if verdict else BENIGN
        else:
            unknown.append(name)
    if unknown:
        raise DataError(
            f"Cannot tell whether {unknown} mean benign or malignant: docs/data.md lists the names that are known. "
            f"Find out from whoever made the data, then give all malignant ones of {[name for name, _ in pairs]} "
            "after --malignant; all others count as benign."
        )
    return classes


def _by_hand(names: Sequence[str], malignant: Sequence[str]) -> tuple[dict[str, str], frozenset[str]]:
    wanted = frozenset(normalise(name) for name in malignant)
    missing = wanted - {normalise(name) for name in names}
    if missing:
        raise DataError(
            f"--malignant names {sorted(missing)}, which no image has. Diagnoses found: {sorted(set(names))}."
        )
    for says, contradicted in (
        ("leaves out", [name for name in names if is_malignant(name) is True and normalise(name) not in wanted]),
        ("holds", [name for name in names if is_malignant(name) is False and normalise(name) in wanted]),
    ):
        if contradicted:
            known = "malignant" if says == "leaves out" else "benign"
            raise DataError(
                f"--malignant {says} {sorted(set(contradicted))}, known to be {known}: labels would be upside down. "
                f"Diagnoses found: {sorted(set(names))}. Name all malignant ones, and no others."
            )
    return {name: normalise(name) for name in names}, wanted

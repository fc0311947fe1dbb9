"""The sections of an evaluation in their order, and the one loop that fits and measures them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nevus.assess.sections import (
    assurance,
    calibration,
    classification,
    conformal,
    decision_curve,
    decisions,
    scores,
    screening,
    subgroups,
    triage,
)
from nevus.assess.sections.metric import Sampling
from nevus.assess.sections.section import Judged, Section, Validation

# In the order of metrics.json.
SECTIONS: tuple[Section, ...] = (
    scores.SECTION,
    decisions.SECTION,
    assurance.SECTION,
    classification.SECTION,
    calibration.SECTION,
    screening.SECTION,
    decision_curve.SECTION,
    triage.SECTION,
    conformal.SECTION,
    subgroups.SECTION,
)


def fit(validation: Validation) -> dict[str, Any]:
    """What each section fits on validation, by the name of the section."""
    return {section.name: section.fit(validation) for section in SECTIONS}


def measure(judged: Judged, sampling: Sampling, sections: Iterable[Section] = SECTIONS) -> dict[str, Any]:
    """What each section shows on a split, by its name; without the sections that do not apply."""
    measured = {section.name: section.measure(judged, sampling) for section in sections}
    return {name: found for name, found in measured.items() if found is not None}


def to_json(fitted: Mapping[str, Any], measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All sections of `metrics.json`.

    Args:
        fitted: from `fit`.
        measured: from `measure`, by the name of the split.
    """
    result: dict[str, Any] = {}
    for section in SECTIONS:
        splits = {split: found[section.name] for split, found in measured.items() if section.name in found}
        result |= section.to_json(fitted[section.name], splits) if section.to_json else {section.name: splits}
    return result

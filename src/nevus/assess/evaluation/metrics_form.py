"""The form of metrics.json, as its readers rely on it: the shape of each section by split.

Owns which fields must be there. The full form is in docs/evaluation.md.
"""

from __future__ import annotations

from typing import Any

from nevus.assess.evaluation.sections import SECTIONS
from nevus.assess.sections.section import Section
from nevus.assess.sections.shapes import count, flag, positive, text
from nevus.core.split_names import WITHOUT_LEAKS


def _form(section: Section, val: str) -> dict[str, Any]:
    of_splits = {"test": section.shape, f"{WITHOUT_LEAKS}?": section.shape}
    if section.on_validation:
        of_splits = {val: section.shape, **of_splits}
    if section.form:
        return dict(section.form(of_splits))
    return {f"{section.name}?" if section.is_optional else section.name: of_splits}


def _metrics(val: str) -> dict[str, Any]:
    return {
        "generated": flag,
        "classes": {"names": [text], "malignant": [text]},
        "temperature": positive,
        "class_weights": {"*": positive},
        "interval_methods": {"*": text},
        "fingerprints": {"dataset": text, "predictions": {"*": text}},
        "leak?": {"num_images": count, "num_groups": count, "also_in": {"*": count}},
        **{name: shape for section in SECTIONS for name, shape in _form(section, val).items()},
        "warnings": [text],
    }


METRICS = _metrics("val")
# Of data from elsewhere, on which nothing was fitted: there is no validation split.
METRICS_ELSEWHERE = _metrics("val?")

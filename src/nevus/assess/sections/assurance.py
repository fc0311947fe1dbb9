"""Thresholds with assurance: a sensitivity that holds for later images with 95 % confidence, not on average.

Owns which targets are given, and what is said of the operating points that aim at them. The thresholds are fitted on
validation and judged on the test once, as all are. It must not read files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nevus.assess.sections import thresholds
from nevus.assess.sections.metric import Sampling
from nevus.assess.sections.section import Judged, Section, Validation
from nevus.assess.sections.shapes import count, estimated, known, number, text
from nevus.assess.statistics.assurance import CONFIDENCE, assured_threshold, chance_of_reaching, fewest_groups
from nevus.assess.statistics.uncertainty import share

# The operating points that aim at a sensitivity, by what they aim at.
TARGETS = {"sensitivity-90": 0.90, "sensitivity-95": 0.95, "sensitivity-98": 0.98}


@dataclass(frozen=True, slots=True)
class Assured:
    """What validation says of one target.

    Attributes:
        operating_point: the name of the operating point that aims at it.
        target: the sensitivity, in (0, 1).
        chance: how sure one may be that the operating point reaches it.
        threshold: the highest of which one may be 95 % sure; NaN if validation has too few malignant groups.
        num_groups: malignant groups of validation.
    """

    operating_point: str
    target: float
    chance: float
    threshold: float
    num_groups: int

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them, with the number of groups that the target takes at least."""
        return {
            "operating_point": self.operating_point,
            "target": self.target,
            "confidence": CONFIDENCE,
            "chance": self.chance,
            "threshold": self.threshold,
            "num_groups": self.num_groups,
            "fewest_groups": fewest_groups(self.target),
        }


def fit(validation: Validation) -> list[Assured]:
    """One for each of `TARGETS`."""
    labels, risk, groups = validation.images
    found = thresholds.cuts(labels, risk, validation.weights)
    weights = validation.weights
    of_malignant = None if weights is None else weights[labels]
    fitted = []
    for name, target in TARGETS.items():
        _, best = thresholds.RULES[name]
        missed = risk[labels] < found.thresholds[best(found)]
        fitted.append(
            Assured(
                operating_point=name,
                target=target,
                chance=chance_of_reaching(target, missed, groups[labels], of_malignant),
                threshold=assured_threshold(target, found.thresholds, labels, risk, groups, weights),
                num_groups=int(np.unique(groups[labels]).size),
            )
        )
    return fitted


def _measure(judged: Judged, sampling: Sampling) -> list[dict[str, Any] | None] | None:
    """Sensitivity and specificity at each threshold; None where nothing was fitted, as for a model file."""
    if not judged.assured:
        return None
    labels, risk, groups = judged.images
    return [
        {
            "sensitivity": share(labels, risk >= threshold, groups).to_json(),
            "specificity": share(~labels, risk < threshold, groups).to_json(),
        }
        if not math.isnan(threshold)
        else None
        for threshold in judged.assured
    ]


def _to_json(fitted: list[Assured] | None, splits: Mapping[str, Any]) -> dict[str, Any]:
    if not fitted:
        return {"assurance": None}
    return {
        "assurance": [
            {**one.to_json(), **{split: found[place] for split, found in splits.items()}}
            for place, one in enumerate(fitted)
        ]
    }


SECTION = Section(
    "assurance",
    dict.fromkeys(("sensitivity", "specificity"), estimated),
    _measure,
    fit=fit,
    to_json=_to_json,
    form=lambda of_splits: {
        "assurance?": [
            {
                "operating_point": text,
                "target": known,
                "confidence": known,
                "chance": known,
                "threshold": number,
                "num_groups": count,
                "fewest_groups": count,
                **{f"{name.rstrip('?')}?": shape for name, shape in of_splits.items()},
            }
        ]
    },
    on_validation=True,
    is_optional=True,
)

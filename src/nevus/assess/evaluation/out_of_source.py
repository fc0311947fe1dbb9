"""Thresholds chosen on sources that were left out of training, for the model that is trained on all of them.

A threshold that is chosen on validation images of the same sources promises a sensitivity for more images of these
sources. One that is chosen on the predictions of sources left out promises it for sources that the model has never
seen, for each of these predictions was made under that condition.

Owns how much each image counts. It must not read what the model of all sources says of any image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nevus.assess.sections import assurance, classification, decisions, triage
from nevus.assess.sections.inputs import read_checked, scored
from nevus.assess.sections.section import Validation
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups, mean_of_independent, proportion
from nevus.core.errors import RunError
from nevus.core.estimate import Estimate
from nevus.core.files import sha256_of
from nevus.core.labels import Classes
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions
from nevus.core.runs import OUT_OF_SOURCE, Run

# The column of the predictions that names the source of an image; the manifest has none of this name.
SOURCE = "left_out_source"

_RULE = "{rule}, where validation means the images of sources left out of training, each source weighing the same"
_SECTIONS = (decisions.SECTION, classification.SECTION, triage.SECTION, assurance.SECTION)


@dataclass(frozen=True, slots=True)
class OutOfSource:
    """The predictions of sources left out.

    Attributes:
        predictions: each image once, by the model that was trained without its source; calibrated by that model's
            temperature, with the class weights of its training undone.
        fingerprint: SHA-256 of their file.
    """

    predictions: Predictions
    fingerprint: str

    @property
    def sources(self) -> list[str]:
        """The source of each image."""
        return self.predictions.columns[SOURCE]


def read_out_of_source(run: Run, classes: Classes) -> OutOfSource | None:
    """The predictions of the sources left out; None if the run has none.

    Raises:
        RunError: the file is damaged.
    """
    path = run.predictions_csv(OUT_OF_SOURCE)
    if not path.exists():
        return None
    predictions = read_checked(path, classes)
    if SOURCE not in predictions.columns:
        raise RunError(f"{path}: column '{SOURCE}' is missing. Run 'nevus run' again with --leave-source-out --resume.")
    return OutOfSource(predictions, sha256_of(path))


def choose_elsewhere(found: OutOfSource, fitted: Mapping[str, Any], default_point: str) -> dict[str, Any]:
    """What validation chose, with the thresholds that sources left out choose in its place.

    Args:
        found: the predictions of the sources left out.
        fitted: by the name of the section, as `sections.fit` gives it for validation.
        default_point: the name of the operating point for decisions unless another is requested.

    Returns:
        Operating points, thresholds with assurance, thresholds of classes (of validation for a class that no source
        left out has) and triage.
        Everything else, such as the temperature and the conformal sets, stays that of validation.
    """
    images = scored(found.predictions, 1.0)
    weights = source_weights(images.labels, found.sources)
    elsewhere = Validation(found.predictions, 1.0, images, default_point, found.fingerprint, weights)
    chosen = {section.name: section.fit(elsewhere) for section in _SECTIONS}
    points = [
        replace(
            _renamed(point),
            sensitivity=_mean_share(images.risk >= point.threshold, images.labels, images.groups, found.sources),
            specificity=_mean_share(images.risk < point.threshold, ~images.labels, images.groups, found.sources),
        )
        for point in chosen["operating_points"]
    ]
    of_classes = {name: _renamed(point) for name, point in chosen["classification"].items()}
    return {
        "operating_points": points,
        "classification": {**fitted["classification"], **of_classes},
        "triage": chosen["triage"],
        "assurance": chosen["assurance"],
    }


def source_weights(labels: Bools, sources: Sequence[str]) -> Floats:
    """How much each image counts, so that each source counts the same among malignant images and among benign ones.

    Weighted shares are then means over the sources of each source's own sensitivity or specificity, and the weighted
    prevalence is the mean of theirs.

    Args:
        labels: bool [N], True for malignant; every source has both.
        sources: the name of each image's source.

    Returns:
        float64 [N], above 0, their sum 1.

    Examples:
        >>> source_weights(np.array([True, False, True, True, False, False]), ["a", "a", "b", "b", "b", "b"]).tolist()
        [0.25, 0.25, 0.125, 0.125, 0.125, 0.125]
    """
    names, codes = np.unique(np.asarray(sources), return_inverse=True)
    sizes, malignant = np.bincount(codes), np.bincount(codes, weights=labels)
    prevalence = float((malignant / sizes).mean())
    of_kind = np.where(labels, malignant[codes], (sizes - malignant)[codes])
    return np.asarray(np.where(labels, prevalence, 1.0 - prevalence) / names.size / of_kind)


def _mean_share(right: Bools, counted: Bools, groups: Groups, sources: Sequence[str]) -> Estimate:
    """The mean over sources of the share that is right among those that count, with an interval from theirs."""
    of_image = np.asarray(sources)
    inside = [counted & (of_image == name) for name in np.unique(of_image)]
    return mean_of_independent([proportion(right[of_source], groups[of_source]) for of_source in inside])


def _renamed(point: OperatingPoint) -> OperatingPoint:
    return replace(point, rule=_RULE.format(rule=point.rule), fitted_on=OUT_OF_SOURCE)

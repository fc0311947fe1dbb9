"""Predictions that can be judged: read from a run's files and checked.

Owns what makes predictions unfit, and the three arrays that most metrics need. It
must not compute a metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nevus.assess.statistics.metrics import Bools, Floats, check_risk
from nevus.assess.statistics.uncertainty import Groups, group_codes
from nevus.core.class_weights import parse_class_weights
from nevus.core.errors import RunError
from nevus.core.labels import Classes
from nevus.core.predictions import Predictions, read_predictions
from nevus.core.runs import Run


class Scored(NamedTuple):
    """The images of a split, as most metrics take them.

    Attributes:
        labels: bool [N], True for malignant.
        risk: float64 [N] in [0, 1].
        groups: int64 [N], codes from 0.
    """

    labels: Bools
    risk: Floats
    groups: Groups


def scored(predictions: Predictions, temperature: float) -> Scored:
    """The arrays of a split, with its logits divided by `temperature` and its class weights undone."""
    labels, risk = check_risk(predictions.is_malignant, predictions.risk(temperature))
    return Scored(labels, risk, group_codes(predictions.groups))


def trained_weights(run: Run) -> dict[str, float]:
    """What each class weighed in the training of a run, by its name; empty if all weighed the same.

    Raises:
        RunError: `run.json` holds something else there.
    """
    training = run.record.get("training") or {}
    try:
        return parse_class_weights(training.get("class_weights"), run.dataset_info.classes)
    except (ValueError, TypeError, AttributeError) as problem:
        raise RunError(f"{run.run_json}: training has wrong {problem} Run 'nevus train' again.") from None


def leaked(test: Predictions) -> Bools:
    """Bool [N]: the test images that share a lesion, a patient or the picture itself with train or val."""
    return np.asarray(test.leaks_into("train") | test.leaks_into("val"))


def untrained(run: Run, val: Predictions) -> Predictions:
    """The validation images that share no lesion, patient or picture with train.

    Raises:
        RunError: all images do, all benign or all malignant ones.
    """
    leaks = val.leaks_into("train")
    for kind, members in (
        ("", np.ones_like(leaks)),
        ("benign ", ~val.is_malignant),
        ("malignant ", val.is_malignant),
    ):
        if members.any() and leaks[members].all():
            raise RunError(
                f"{run.predictions_csv('val')}: all {members.sum()} {kind}validation images are of groups (lesions, "
                "patients or pictures) that were trained on, so no temperature or threshold can be chosen on them. "
                "Expected benign and malignant ones of other groups. Splits that a source gives are kept: take these "
                "groups out of its train or its val, then run 'nevus prepare' and all that follows again."
            )
    return val.where(~leaks)


def read_checked(path: Path, classes: Classes, class_weights: Mapping[str, float] | None = None) -> Predictions:
    """Reads predictions that evaluation can trust.

    Args:
        path: a CSV file of `predictions/`.
        classes: of the run.
        class_weights: as for `read_predictions`.

    Raises:
        RunError: as `read_predictions`, and if the file has no row, an image twice, a row without a
            group, or a logit that is not a finite number.
    """
    predictions = read_predictions(path, classes, class_weights)
    advice = "Run 'nevus train' again."
    if not predictions.image_ids:
        raise RunError(f"{path}: has no rows. Expected one for each image. {advice}")
    seen: dict[str, int] = {}
    for row, image_id in enumerate(predictions.image_ids, start=2):
        first = seen.setdefault(image_id, row)
        if first != row:
            raise RunError(f"{path} row {row}: image '{image_id}' is also in row {first}. Expected each once. {advice}")
        if not predictions.groups[row - 2]:
            raise RunError(f"{path} row {row}: group is empty. Expected the name of the image's group. {advice}")
        if not np.isfinite(predictions.logits[row - 2]).all():
            values = predictions.logits[row - 2].tolist()
            raise RunError(f"{path} row {row}: expected finite logits. Received: {values}. {advice}")
    return predictions


def check_apart(run: Run, val: Predictions, test: Predictions) -> None:
    """Checks that no image is in both splits, and no group but those that the predictions own up to.

    Raises:
        RunError: one does.
    """
    known = {group for group, leaks in zip(test.groups, test.leaks_into("val"), strict=True) if leaks}
    for what, shared in (
        ("image", set(val.image_ids) & set(test.image_ids)),
        ("group", (set(val.groups) & set(test.groups)) - known),
    ):
        if shared:
            raise RunError(
                f"{run.predictions_csv('test').parent}: val.csv and test.csv share {len(shared)} {what}(s), such as "
                f"'{min(shared)}', so the test would flatter the model. Expected none. "
                "Run 'nevus split' again, and train again."
            )

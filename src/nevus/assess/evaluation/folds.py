"""The folds of a cross-validation: what is read of each, and their test images in one list.

Owns pooling: each image has one risk, from the model that never saw its group, divided by
that model's own temperature, and is decided by that model's own thresholds. It must not
compute a figure.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nevus.assess.sections import classification, thresholds
from nevus.assess.sections.inputs import read_checked
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.core.chosen import read_chosen
from nevus.core.errors import RunError
from nevus.core.files import read_json, sha256_of
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions
from nevus.core.prevalence import rebase
from nevus.core.runs import Run

# The column of the pooled predictions that names the fold of an image.
FOLD = "fold"
RUN_AGAIN = "Run the cross-validation again with --resume."


class Fold(NamedTuple):
    """What is read of one fold.

    Attributes:
        name: of its run.
        test: what its model says of its test images.
        metrics: its `metrics.json`, with the temperature and the thresholds chosen on its own validation images.
        assumed_prevalence: for which its risks are right, in (0, 1); also chosen there.
    """

    name: str
    test: Predictions
    metrics: dict[str, Any]
    assumed_prevalence: float

    @property
    def temperature(self) -> float:
        return float(self.metrics["temperature"])

    @property
    def class_points(self) -> dict[str, dict[str, Any]]:
        """The points on the probability of each class, by its name."""
        points: dict[str, dict[str, Any]] = self.metrics["classification"]["operating_points"]
        return points

    def at(self, operating_point: str) -> dict[str, Any]:
        """The threshold, and the figures at it."""
        points: list[dict[str, Any]] = self.metrics["operating_points"]
        return next(point for point in points if point["name"] == operating_point)


def read_folds(run: Run) -> list[Fold]:
    """Reads the folds of a cross-validation.

    Raises:
        RunError: a fold lacks a file or has a stale one, or two folds test the same image or group.
    """
    folds = [_read_fold(fold) for fold in run.folds]
    _check_apart(run, folds)
    return folds


def _read_fold(fold: Run) -> Fold:
    path = fold.predictions_csv("test")
    test = read_checked(path, fold.dataset_info.classes)
    figures = read_json(fold.metrics_json, RUN_AGAIN)
    if sha256_of(path) != figures["fingerprints"]["predictions"]["test"]:
        raise RunError(f"{path} has changed since {fold.metrics_json.name} was made from it. {RUN_AGAIN}")
    return Fold(fold.name, test, figures, read_chosen(fold.operating_points_json, RUN_AGAIN).assumed_prevalence)


def _check_apart(run: Run, folds: list[Fold]) -> None:
    for what, lists in (
        ("image", [set(fold.test.image_ids) for fold in folds]),
        ("group", [set(fold.test.groups) for fold in folds]),
    ):
        seen: dict[str, str] = {}
        for fold, names in zip(folds, lists, strict=True):
            for name in sorted(names):
                if seen.setdefault(name, fold.name) != fold.name:
                    raise RunError(
                        f"{run.directory}: {what} '{name}' is tested in {seen[name]} and in {fold.name}, so a model "
                        "was trained on what it is tested on. Expected each in one fold. Start over with --overwrite."
                    )


def pool(folds: list[Fold]) -> Predictions:
    """The test images of all folds, one after the other; logits are divided by the temperature of their fold."""
    tests = [fold.test for fold in folds]
    columns = list(dict.fromkeys(name for test in tests for name in test.columns))

    def joined(name: str) -> list[str]:
        return [text for test in tests for text in test.columns.get(name, [""] * len(test.image_ids))]

    return Predictions(
        classes=tests[0].classes,
        image_ids=[image_id for test in tests for image_id in test.image_ids],
        paths=[path for test in tests for path in test.paths],
        groups=[group for test in tests for group in test.groups],
        labels=np.concatenate([test.labels for test in tests]),
        logits=np.concatenate([fold.test.logits / fold.temperature for fold in folds]),
        columns={
            **{name: joined(name) for name in columns},
            FOLD: [fold.name for fold in folds for _ in fold.test.image_ids],
        },
    )


def decisions(folds: list[Fold]) -> dict[str, Bools]:
    """bool [N] by operating point: what each image's own fold decides at its own threshold."""
    return {
        name: np.concatenate([fold.test.risk(fold.temperature) >= fold.at(name)["threshold"] for fold in folds])
        for name in thresholds.RULES
    }


def rebased(folds: list[Fold], prevalence: float) -> Floats:
    """float64 [N]: the risk of each image at another prevalence, from that which its own fold's risks assume."""
    return np.concatenate(
        [
            rebase(fold.test.risk(fold.temperature), assumed=fold.assumed_prevalence, prevalence=prevalence)
            for fold in folds
        ]
    )


def called(folds: list[Fold]) -> dict[str, Bools]:
    """bool [N] by class name: what each image's own fold calls, for the classes that have a threshold in all folds."""
    by_fold = [
        classification.called(
            fold.test,
            fold.temperature,
            {name: OperatingPoint.from_json(point) for name, point in fold.class_points.items()},
        )
        for fold in folds
    ]
    shared = [name for name in by_fold[0] if all(name in of_fold for of_fold in by_fold)]
    return {name: np.concatenate([of_fold[name] for of_fold in by_fold]) for name in shared}

"""The folds of a cross-validation: what is read of each, and their test images in one list.

Owns pooling: each image has one risk, from the model that never saw its group, with that model's
own temperature and class weights, and is decided by that model's own thresholds. It must not
compute a metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nevus.assess.sections import classification, conformal, thresholds
from nevus.assess.sections.inputs import read_checked, scored
from nevus.assess.sections.section import Elsewhere, Judged
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.core.chosen import read_chosen
from nevus.core.errors import RunError
from nevus.core.files import sha256_of
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions
from nevus.core.prevalence import rebase
from nevus.core.runs import Run
from nevus.core.triage import Triage
from nevus.core.versions import read_metrics_json

# The column of the pooled predictions that names the fold of an image.
FOLD = "fold"
RUN_AGAIN = "Run the cross-validation again with --resume."


class Fold(NamedTuple):
    """What is read of one fold.

    Attributes:
        name: of its run.
        test: what its model says of its test images.
        metrics: its `metrics.json`, with the class weights of its training, and the temperature and the thresholds
            chosen on its own validation images.
        assumed_prevalence: for which its risks are right, in (0, 1); also chosen there.
    """

    name: str
    test: Predictions
    metrics: dict[str, Any]
    assumed_prevalence: float

    @property
    def temperature(self) -> float:
        """By which the logits of this fold are divided."""
        return float(self.metrics["temperature"])

    @property
    def risk(self) -> Floats:
        """float64 [N]: the calibrated risks of its test images."""
        return self.test.risk(self.temperature)

    @property
    def class_points(self) -> dict[str, dict[str, Any]]:
        """The points on the probability of each class, by its name."""
        points: dict[str, dict[str, Any]] = self.metrics["classification"]["operating_points"]
        return points

    @property
    def triage(self) -> Triage:
        """The bands that it chose."""
        return Triage.from_json(self.metrics["triage"])

    def at(self, operating_point: str) -> dict[str, Any]:
        """The threshold, and the metrics at it."""
        points: list[dict[str, Any]] = self.metrics["operating_points"]
        return next(point for point in points if point["name"] == operating_point)

    def called(self) -> dict[str, Bools]:
        """bool [N] by class name: which test images are called that class, at the threshold that it chose."""
        points = {name: OperatingPoint.from_json(point) for name, point in self.class_points.items()}
        return classification.called(self.test, self.temperature, points)

    def sets(self, alpha: float) -> Bools:
        """bool [N, C]: the conformal sets of its test images at an error rate."""
        least = next(one["least_probability"] for one in self.metrics["conformal"] if one["alpha"] == alpha)
        ordered = np.array([least[name] for name in self.test.classes.names])
        return conformal.sets_of(self.test, self.temperature, ordered)

    def rebased(self, risk: Any, prevalence: float) -> Any:
        """Risks at another prevalence, from that which this fold's risks assume."""
        return rebase(risk, assumed=self.assumed_prevalence, prevalence=prevalence)


def read_folds(run: Run) -> list[Fold]:
    """Reads the folds of a cross-validation.

    Raises:
        RunError: a fold lacks a file or has a stale one, or two folds test the same image or group.
    """
    folds = [read_fold(fold) for fold in run.folds]
    _check_apart(run, folds)
    return folds


def read_fold(fold: Run, name: str = "") -> Fold:
    """Reads one fold.

    Args:
        fold: trained and evaluated.
        name: what it is called; as its folder if not given.

    Raises:
        RunError: it lacks a file or has a stale one.
    """
    path = fold.predictions_csv("test")
    figures = read_metrics_json(fold.metrics_json, RUN_AGAIN)
    test = read_checked(path, fold.dataset_info.classes, figures["class_weights"])
    if sha256_of(path) != figures["fingerprints"]["predictions"]["test"]:
        raise RunError(f"{path} has changed since {fold.metrics_json.name} was made from it. {RUN_AGAIN}")
    return Fold(name or fold.name, test, figures, read_chosen(fold.operating_points_json, RUN_AGAIN).assumed_prevalence)


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


def pool(folds: Sequence[Fold], column: str = FOLD) -> Predictions:
    """The test images of all folds, one after the other; logits are divided by the temperature of their fold.

    Args:
        folds: whose models tell the same classes apart.
        column: of the predictions, to name each image's fold.
    """
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
            column: [fold.name for fold in folds for _ in fold.test.image_ids],
        },
        log_weights=np.concatenate([_log_weights(fold.test) for fold in folds]),
    )


def _log_weights(test: Predictions) -> Floats:
    """float64 [N, C]: of each image's model; 0 where it was trained without class weights."""
    return np.broadcast_to(0.0 if test.log_weights is None else test.log_weights, test.logits.shape)


def judge(folds: Sequence[Fold], pooled: Predictions, default_point: str, prevalence: float | None) -> Judged:
    """The pooled images, each with what its own fold's model and thresholds decide about it.

    Args:
        folds: in the order in which `pool` put their images.
        pooled: from `pool`.
        default_point: the name of the operating point for decisions unless another is requested.
        prevalence: in (0, 1), for a screening; None for none.
    """
    images = scored(pooled, 1.0)
    columns = {name: cells for name, cells in pooled.columns.items() if name != FOLD}
    called = [fold.called() for fold in folds]
    in_all = [name for name in called[0] if all(name in of_fold for of_fold in called)]
    return Judged(
        predictions=replace(pooled, columns=columns),
        temperature=1.0,
        images=images,
        risks={"before": _joined(fold.test.weighted_risk() for fold in folds), "after": images.risk},
        decisions={
            name: _joined(fold.risk >= fold.at(name)["threshold"] for fold in folds) for name in thresholds.RULES
        },
        default_point=default_point,
        called={name: _joined(of_fold[name] for of_fold in called) for name in in_all},
        low=_joined(fold.risk < fold.triage.rule_out for fold in folds),
        high=_joined(fold.risk >= fold.triage.rule_in for fold in folds),
        sets={alpha: np.concatenate([fold.sets(alpha) for fold in folds]) for alpha in conformal.ALPHAS},
        elsewhere=None if prevalence is None else _elsewhere(folds, prevalence),
    )


def _elsewhere(folds: Sequence[Fold], prevalence: float) -> Elsewhere:
    """Each risk and threshold at another prevalence, from that which its own fold's risks assume."""
    return Elsewhere(
        prevalence,
        {name: [fold.rebased(fold.at(name)["threshold"], prevalence) for fold in folds] for name in thresholds.RULES},
        _joined(fold.rebased(fold.risk, prevalence) for fold in folds),
    )


def _joined(arrays: Iterable[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(list(arrays))

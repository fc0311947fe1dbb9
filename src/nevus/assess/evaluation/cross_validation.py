"""From the predictions of a cross-validation's folds to `cross_validation.json`: metrics pooled, and over the folds.

Owns which metrics a cross-validation gets; what is pooled, and how, is in `folds`. It must not open a
model or draw.

Two answers to 'how good is the recipe', which differ:

- *Over the folds*: each fold's metric by itself, then mean, standard deviation, least and greatest. A fold's
  ROC-AUC compares only risks of one model, so the mean is the plain estimate for one model of this recipe. The
  standard deviation says how much a single split can mislead; it is not a standard error, as the models share
  training images, and no unbiased estimate of that error exists [1].
- *Pooled*: all images in one list. Pooling gives counts that are large enough for intervals and subgroups, and is
  right for decisions: F1 of pooled counts is nearly unbiased where the mean of the folds' F1 is not [2]. Pooled
  ROC-AUC and average precision also compare risks of *different* models, so folds calibrated apart bring them
  down: pooled ROC-AUC is mostly pessimistic [2, 3]. A pooled metric far below the mean says that the folds'
  risks are not on one scale.

References:
    [1] Bengio & Grandvalet, No unbiased estimator of the variance of k-fold cross-validation, Journal of Machine
        Learning Research 5 (2004).
    [2] Forman & Scholz, Apples-to-apples in cross-validation studies: pitfalls in classifier performance
        measurement, ACM SIGKDD Explorations 12 (2010).
    [3] Airola, Pahikkala, Waegeman, De Baets & Salakoski, An experimental comparison of cross-validation techniques
        for estimating the area under the ROC curve, Computational Statistics & Data Analysis 55 (2011).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nevus.assess.evaluation import sections
from nevus.assess.evaluation.evaluate import interval_methods, noting
from nevus.assess.evaluation.folds import Fold, judge, pool, read_folds
from nevus.assess.sections import classification, decisions, scores, subgroups
from nevus.assess.sections.classified import shown_metrics
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.sections.inputs import leaked, read_checked, scored
from nevus.assess.sections.metric import Metric, Sampling
from nevus.assess.sections.scores import SCORES
from nevus.assess.sections.section import Validation
from nevus.assess.statistics.undefined import undefined
from nevus.core import versions
from nevus.core.chosen import Chosen, write_chosen
from nevus.core.estimate import Estimate
from nevus.core.files import sha256_of, write_json
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions, write_predictions
from nevus.core.runs import Run
from nevus.core.split_names import WITHOUT_LEAKS

OUT_OF_FOLD = "out_of_fold"

_ENSEMBLE_RULE = (
    "{rule}, where validation means every image out of fold, with the risk of the single model that never saw it: "
    "a cautious guess for the mean of the models"
)


def cross_validate(
    run: Run, *, default_operating_point: str, bootstrap: int, seed: int, prevalence: float | None = None
) -> dict[str, Any]:
    """Pools the folds of a run and writes `out_of_fold.csv`, `cross_validation.json` and `operating_points.json`.

    `out_of_fold.csv` has logits already divided by the fold's temperature and less the logarithms of its class weights,
    and a column `fold`. The operating points
    are the ensemble's; it is measured on `predictions/test.csv` where a test split of the source gave one.

    Args:
        run: of a cross-validation; each of `run.folds` is evaluated.
        default_operating_point: of the ensemble.
        bootstrap: number of resamples.
        seed: of the bootstrap.
        prevalence: in (0, 1), for the metrics of a screening; None to leave them out.

    Returns:
        What `cross_validation.json` holds, as docs/cross-validation.md describes it; undefined metrics are NaN.

    Raises:
        RunError: a fold lacks a file or has a stale one, or two folds test the same image or group.
    """
    info = run.dataset_info
    folds = read_folds(run)
    pooled = pool(folds)
    write_predictions(run.predictions_csv(OUT_OF_FOLD), pooled.undone())
    fingerprints = {OUT_OF_FOLD: sha256_of(run.predictions_csv(OUT_OF_FOLD))}
    sampling = Sampling(bootstrap, seed)
    notes: list[str] = []

    with noting(notes, "out of fold"):
        judged = judge(folds, pooled, default_operating_point, prevalence)
        measured = sections.measure(judged, sampling)
        fingerprint = fingerprints[OUT_OF_FOLD]
        fitted = sections.fit(Validation(pooled, 1.0, judged.images, default_operating_point, fingerprint))
        points = [_of_ensemble(point) for point in fitted["operating_points"]]
        class_points = {name: _of_ensemble(point) for name, point in fitted["classification"].items()}
    with noting(notes, "over the folds"):
        over_folds = _over_folds(folds, len(info.classes.names))
    ensemble: dict[str, Any] = {"operating_points": [point.to_json() for point in points], "splits": {}}
    if run.predictions_csv("test").exists():
        fingerprints["test"] = sha256_of(run.predictions_csv("test"))
        with noting(notes, "test"):
            ensemble = _measure_ensemble(run, folds, points, class_points, sampling)

    result = {
        "schema_version": versions.CROSS_VALIDATION_JSON,
        "generated": info.generated,
        "classes": {"names": list(info.classes.names), "malignant": list(info.classes.malignant)},
        "num_folds": len(folds),
        "interval_methods": interval_methods(sampling),
        "fingerprints": {"dataset": run.recorded("dataset_fingerprint"), "predictions": fingerprints},
        **_pooled(folds, measured, over_folds),
        "ensemble": ensemble,
        "warnings": notes,
    }
    write_chosen(
        run.operating_points_json,
        Chosen(
            temperature=1.0,
            default=default_operating_point,
            operating_points=tuple(points),
            class_points=class_points,
            triage=fitted["triage"],
            assumed_prevalence=fitted["screening"],
        ),
    )
    write_json(run.cross_validation_json, result)
    return result


def spread(metric: str, values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation (n - 1), least and greatest of a metric over the folds; NaN if a fold has none."""
    array = np.asarray(values)
    if np.isnan(array).any():
        nan = undefined(metric, f"{np.isnan(array).sum()} of {array.size} folds have none")
        return dict.fromkeys(("mean", "standard_deviation", "min", "max"), nan)
    return {
        "mean": float(array.mean()),
        "standard_deviation": float(array.std(ddof=1)),
        "min": float(array.min()),
        "max": float(array.max()),
    }


def _over_folds(folds: Sequence[Fold], num_classes: int) -> dict[str, Any]:
    """The metrics of each fold's own test by section, as mean and spread."""

    def spreads(metrics: Sequence[Metric], found: Sequence[Mapping[str, Any]], suffix: str = "") -> dict[str, Any]:
        return {
            metric.name: spread(
                metric.name + suffix, [Estimate.from_json(of_fold[metric.name]).value for of_fold in found]
            )
            for metric in metrics
        }

    return {
        "splits": spreads(SCORES, [fold.metrics["splits"]["test"] for fold in folds]),
        "operating_points": {
            point["name"]: spreads(
                DECISIONS, [fold.at(point["name"])["test"] for fold in folds], f" at {point['name']}"
            )
            for point in folds[0].metrics["operating_points"]
        },
        "classification": spreads(
            shown_metrics(num_classes), [fold.metrics["classification"]["test"] for fold in folds]
        ),
    }


def _pooled(folds: Sequence[Fold], measured: Mapping[str, Any], over_folds: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of `cross_validation.json`."""
    screened = measured.get("screening")
    return {
        OUT_OF_FOLD: measured["splits"],
        "over_folds": over_folds["splits"],
        "operating_points": [
            {
                "name": name,
                "rule": folds[0].at(name)["rule"],
                "thresholds": [fold.at(name)["threshold"] for fold in folds],
                OUT_OF_FOLD: at_point,
                "over_folds": over_folds["operating_points"][name],
            }
            for name, at_point in measured["operating_points"].items()
        ],
        "classification": {
            "operating_points": {
                name: {
                    "rule": folds[0].class_points[name]["rule"],
                    "thresholds": [fold.class_points[name]["threshold"] for fold in folds],
                }
                for name in folds[0].class_points
                if all(name in fold.class_points for fold in folds)
            },
            OUT_OF_FOLD: measured["classification"],
            "over_folds": over_folds["classification"],
        },
        "folds": [
            {
                "name": fold.name,
                "temperature": fold.temperature,
                "class_weights": fold.metrics["class_weights"],
                "test": fold.metrics["splits"]["test"],
            }
            for fold in folds
        ],
        "calibration": measured["calibration"],
        "screening": screened
        and {
            "prevalence": screened["decision_curve"]["prevalence"],
            "assumed_prevalence": [fold.assumed_prevalence for fold in folds],
            OUT_OF_FOLD: screened,
        },
        "decision_curve": measured["decision_curve"],
        "triage": measured["triage"],
        "conformal": [{"alpha": alpha, OUT_OF_FOLD: found} for alpha, found in measured["conformal"].items()],
        "subgroups": measured["subgroups"],
        "subgroup_gaps": subgroups.largest_gaps(measured["subgroups"]),
    }


def _of_ensemble(point: OperatingPoint) -> OperatingPoint:
    return replace(point, rule=_ENSEMBLE_RULE.format(rule=point.rule), fitted_on=OUT_OF_FOLD)


def _weighed_as(folds: Sequence[Fold], test: Predictions) -> Predictions:
    """The ensemble's predictions, with the mean class weights of its networks put back for naming classes."""
    weights = [fold.test.log_weights for fold in folds if fold.test.log_weights is not None]
    if not weights:
        return test
    mean = np.sum(weights, axis=0) / len(folds)
    return replace(test, logits=test.logits + mean, log_weights=mean)


def _measure_ensemble(
    run: Run,
    folds: Sequence[Fold],
    points: Sequence[OperatingPoint],
    class_points: Mapping[str, OperatingPoint],
    sampling: Sampling,
) -> dict[str, Any]:
    """The ensemble on the source's test split: as published, and without images whose group is in the folds, if any."""
    test = _weighed_as(folds, read_checked(run.predictions_csv("test"), run.dataset_info.classes))
    leaks = leaked(test)
    splits = {"test": test}
    if leaks.all():
        undefined("the test without leaks", "every test image has its group in the folds")
    elif leaks.any():
        splits[WITHOUT_LEAKS] = test.where(~leaks)
    found: dict[str, dict[str, Any]] = {"splits": {}, "classification": {}}
    at_points = {}
    for name, predictions in splits.items():
        images = scored(predictions, 1.0)
        found["splits"][name] = scores.measure(images, sampling)
        called = classification.called(predictions, 1.0, class_points)
        found["classification"][name] = classification.measure(predictions, 1.0, called, **sampling._asdict())
        at_points[name] = decisions.measure(images, decisions.decide(images, points), sampling)
    return {
        **found,
        "operating_points": [
            {**point.to_json(), **{name: of_split[point.name] for name, of_split in at_points.items()}}
            for point in points
        ],
    }

"""From the predictions of a cross-validation's folds to `cross_validation.json`: figures pooled, and over the folds.

Owns which figures a cross-validation gets; what is pooled, and how, stands in `folds`. It must not open a
model or draw.

Two answers to 'how good is the recipe', which differ:

- *Over the folds*: each fold's figure by itself, then mean, standard deviation, least and greatest. A fold's
  ROC-AUC compares only risks of one model, so the mean is the plain estimate for one model of this recipe. The
  standard deviation says how much a single split can mislead; it is no standard error, as the models share
  training images, and no unbiased estimate of that error exists [1].
- *Pooled*: all images in one list. Pooling gives counts that are large enough for intervals and subgroups, and is
  right for decisions: F1 of pooled counts is nearly unbiased where the mean of the folds' F1 is not [2]. Pooled
  ROC-AUC and average precision also compare risks of *different* models, so folds calibrated apart bring them
  down: pooled ROC-AUC is mostly pessimistic [2, 3]. A pooled figure far below the mean says that the folds'
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

from nevus.assess.evaluation.evaluate import noting
from nevus.assess.evaluation.folds import FOLD, Fold, called, decisions, pool, read_folds, rebased
from nevus.assess.sections import calibration, classification, decision_curve, screening, subgroups, thresholds, triage
from nevus.assess.sections.decisions import measure, measure_decided
from nevus.assess.sections.inputs import Scored, leaked, read_checked, scored
from nevus.assess.statistics import metrics, uncertainty
from nevus.core.chosen import Chosen, write_chosen
from nevus.core.estimate import Estimate
from nevus.core.files import sha256_of, write_json
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import write_predictions
from nevus.core.prevalence import rebase
from nevus.core.runs import Run
from nevus.core.split_names import WITHOUT_LEAKS

SCHEMA_VERSION = 3
OUT_OF_FOLD = "out_of_fold"
FIGURES = ("roc_auc", "average_precision", "brier")
FIGURES_AT_POINT = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "balanced_accuracy", "kappa", "f1")

_ENSEMBLE_RULE = (
    "{rule}, where validation means every image out of fold, with the risk of the single model that never saw it: "
    "a cautious guess for the mean of the models"
)


def cross_validate(
    run: Run, *, default_operating_point: str, bootstrap: int, seed: int, prevalence: float | None = None
) -> dict[str, Any]:
    """Pools the folds of a run and writes `out_of_fold.csv`, `cross_validation.json` and `operating_points.json`.

    `out_of_fold.csv` has logits already divided by the fold's temperature, and a column `fold`. The operating points
    are the ensemble's; it is measured on `predictions/test.csv` where a test split of the source gave one.

    Args:
        run: of a cross-validation; each of `run.folds` is evaluated.
        default_operating_point: of the ensemble.
        bootstrap: number of resamples.
        seed: of the bootstrap.
        prevalence: in (0, 1), for the figures of a screening; None to leave them out.

    Returns:
        What `cross_validation.json` holds, as docs/cross-validation.md describes it; undefined figures are NaN.

    Raises:
        RunError: a fold lacks a file or has a stale one, or two folds test the same image or group.
    """
    info = run.dataset_info
    folds = read_folds(run)
    pooled = pool(folds)
    write_predictions(run.predictions_csv(OUT_OF_FOLD), pooled)
    fingerprints = {OUT_OF_FOLD: sha256_of(run.predictions_csv(OUT_OF_FOLD))}
    notes: list[str] = []

    with noting(notes, "out of fold"):
        pooled_risks = scored(pooled, 1.0)
        decided = decisions(folds)
        figures, at_points = measure_decided(pooled_risks, decided, resamples=bootstrap, seed=seed)
        calls = called(folds)
        of_classes = classification.measure(pooled, 1.0, calls, resamples=bootstrap, seed=seed)
        uncalibrated = np.concatenate([fold.test.risk() for fold in folds])
        calibrated = calibration.measure(
            pooled_risks.labels,
            {"before": uncalibrated, "after": pooled_risks.risk},
            pooled_risks.groups,
            resamples=bootstrap,
            seed=seed,
        )
        net_benefit = decision_curve.measure(*pooled_risks, prevalence=float(pooled_risks.labels.mean()))
        screened = None if prevalence is None else _screen(folds, pooled_risks, at_points, prevalence)
        columns = {name: cells for name, cells in pooled.columns.items() if name != FOLD}
        subgroup_rows = subgroups.measure(columns, *pooled_risks, called=decided[default_operating_point])
        points = [_of_ensemble(point) for point in thresholds.fit(pooled, fingerprint=fingerprints[OUT_OF_FOLD])]
        class_points = {
            name: _of_ensemble(point)
            for name, point in classification.fit(
                pooled, 1.0, default_operating_point, fingerprint=fingerprints[OUT_OF_FOLD]
            ).items()
        }
        bands = triage.fit(pooled_risks.labels, pooled_risks.risk)
        assumed_prevalence = screening.assumed_prevalence(*pooled_risks)
    with noting(notes, "over the folds"):
        over_folds = {
            name: spread(name, [_value(fold.metrics["splits"]["test"][name]) for fold in folds]) for name in FIGURES
        }
        points_over_folds = {
            name: {
                figure: spread(f"{figure} at {name}", [_value(fold.at(name)["test"][figure]) for fold in folds])
                for figure in FIGURES_AT_POINT
            }
            for name in decided
        }
        classes_over_folds = {
            name: spread(name, [_value(fold.metrics["classification"]["test"][name]) for fold in folds])
            for name in classification.shown_figures(len(info.classes.names))
        }
    ensemble: dict[str, Any] = {"operating_points": [point.to_json() for point in points], "splits": {}}
    if run.predictions_csv("test").exists():
        fingerprints["test"] = sha256_of(run.predictions_csv("test"))
        with noting(notes, "test"):
            ensemble = _measure_ensemble(run, points, class_points, bootstrap, seed)

    result = {
        "schema_version": SCHEMA_VERSION,
        "generated": info.generated,
        "classes": {"names": list(info.classes.names), "malignant": list(info.classes.malignant)},
        "num_folds": len(folds),
        "interval_methods": {
            name: text.format(resamples=bootstrap, seed=seed) for name, text in uncertainty.METHODS.items()
        },
        "fingerprints": {"dataset": run.recorded("dataset_fingerprint"), "predictions": fingerprints},
        "out_of_fold": figures,
        "over_folds": over_folds,
        "operating_points": [
            {
                "name": name,
                "rule": folds[0].at(name)["rule"],
                "thresholds": [fold.at(name)["threshold"] for fold in folds],
                "out_of_fold": at_points[name],
                "over_folds": points_over_folds[name],
            }
            for name in decided
        ],
        "classification": {
            "operating_points": {
                name: {
                    "rule": folds[0].class_points[name]["rule"],
                    "thresholds": [fold.class_points[name]["threshold"] for fold in folds],
                }
                for name in calls
            },
            OUT_OF_FOLD: of_classes,
            "over_folds": classes_over_folds,
        },
        "folds": [
            {"name": fold.name, "temperature": fold.temperature, "test": fold.metrics["splits"]["test"]}
            for fold in folds
        ],
        "calibration": calibrated,
        "screening": screened,
        "decision_curve": net_benefit,
        "subgroups": subgroup_rows,
        "subgroup_gaps": subgroups.largest_gaps(subgroup_rows),
        "ensemble": ensemble,
        "warnings": notes,
    }
    chosen = Chosen(1.0, default_operating_point, tuple(points), class_points, bands, assumed_prevalence)
    write_chosen(run.operating_points_json, chosen)
    write_json(run.cross_validation_json, result)
    return result


def spread(figure: str, values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation (n - 1), least and greatest of a figure over the folds; NaN if a fold has none."""
    array = np.asarray(values)
    if np.isnan(array).any():
        nan = metrics.undefined(figure, f"{np.isnan(array).sum()} of {array.size} folds have none")
        return dict.fromkeys(("mean", "standard_deviation", "min", "max"), nan)
    return {
        "mean": float(array.mean()),
        "standard_deviation": float(array.std(ddof=1)),
        "min": float(array.min()),
        "max": float(array.max()),
    }


def _screen(
    folds: list[Fold], images: Scored, at_points: Mapping[str, Mapping[str, Any]], prevalence: float
) -> dict[str, Any]:
    """What a screening would mean, each risk and threshold re-based from the prevalence that its fold assumes."""
    risk_at_thresholds = {
        name: [
            rebase(fold.at(name)["threshold"], assumed=fold.assumed_prevalence, prevalence=prevalence) for fold in folds
        ]
        for name in at_points
    }
    there = images._replace(risk=rebased(folds, prevalence))
    return {
        "prevalence": prevalence,
        "assumed_prevalence": [fold.assumed_prevalence for fold in folds],
        OUT_OF_FOLD: screening.measure(prevalence, at_points, risk_at_thresholds, there),
    }


def _of_ensemble(point: OperatingPoint) -> OperatingPoint:
    return replace(point, rule=_ENSEMBLE_RULE.format(rule=point.rule), fitted_on=OUT_OF_FOLD)


def _measure_ensemble(
    run: Run,
    points: list[OperatingPoint],
    class_points: dict[str, OperatingPoint],
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """The ensemble on the source's test split: as published, and without images whose group is in the folds, if any."""
    test = read_checked(run.predictions_csv("test"), run.dataset_info.classes)
    leaks = leaked(test)
    splits = {"test": test}
    if leaks.all():
        metrics.undefined("the test without leaks", "every test image has its group in the folds")
    elif leaks.any():
        splits[WITHOUT_LEAKS] = test.where(~leaks)
    measured = {
        name: measure(scored(split, 1.0), points, resamples=bootstrap, seed=seed) for name, split in splits.items()
    }
    return {
        "splits": {name: figures for name, (figures, _) in measured.items()},
        "classification": {
            name: classification.measure(
                split, 1.0, classification.called(split, 1.0, class_points), resamples=bootstrap, seed=seed
            )
            for name, split in splits.items()
        },
        "operating_points": [
            {**point.to_json(), **{name: at_points[point.name] for name, (_, at_points) in measured.items()}}
            for point in points
        ],
    }


def _value(figure: dict[str, Any]) -> float:
    return Estimate.from_json(figure).value

"""From a run's predictions to `operating_points.json` and `metrics.json`.

Owns the order of things: temperature and thresholds are chosen on validation, then
applied once to the test, and never the other way round. It must not open a model or draw.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from nevus.assess.sections import (
    calibration,
    classification,
    conformal,
    decision_curve,
    decisions,
    screening,
    subgroups,
    thresholds,
    triage,
)
from nevus.assess.sections.inputs import Scored, check_apart, leaked, read_checked, scored, untrained
from nevus.assess.statistics import metrics, uncertainty
from nevus.assess.statistics.calibration import Isotonic, fit_isotonic, fit_temperature
from nevus.assess.statistics.metrics import Floats
from nevus.core.chosen import Chosen, write_chosen
from nevus.core.errors import RunError
from nevus.core.files import sha256_of, write_json
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions
from nevus.core.prevalence import rebase
from nevus.core.runs import Run
from nevus.core.split_names import WITHOUT_LEAKS
from nevus.core.triage import Triage

SCHEMA_VERSION = 3
SPLITS = ("val", "test")


@dataclass(frozen=True, slots=True)
class Fitted:
    """What validation decides, before the test is looked at.

    Attributes:
        temperature: above 0.
        isotonic: the other calibration, from risks after the temperature.
        points: the operating points.
        class_points: those on the probability of each class, by its name.
        bands: the thresholds of the triage.
        assumed_prevalence: for which the risks are right, in (0, 1).
        least_probabilities: of the conformal sets, float64 [C] by error rate.
        val: the images it was fitted on.
    """

    temperature: float
    isotonic: Isotonic
    points: list[OperatingPoint]
    class_points: dict[str, OperatingPoint]
    bands: Triage
    assumed_prevalence: float
    least_probabilities: dict[float, Floats]
    val: Scored


def evaluate(
    run: Run, *, default_operating_point: str, bootstrap: int, seed: int, prevalence: float | None = None
) -> dict[str, Any]:
    """Chooses temperature and thresholds on validation, measures both splits, and writes both JSON files of the run.

    Args:
        run: with `predictions/val.csv` and `predictions/test.csv`.
        default_operating_point: name of the point for decisions unless another is asked for.
        bootstrap: number of resamples.
        seed: of the bootstrap.
        prevalence: in (0, 1), for the figures of a screening; None to leave them out.

    Returns:
        What `metrics.json` holds, as docs/evaluation.md describes it; undefined figures are NaN.

    Raises:
        RunError: predictions are missing or damaged, val and test share an image or a group, a class is
            absent from val or leaks into train as a whole, or there is no operating point of the default name.
    """
    if default_operating_point not in thresholds.RULES:
        names = ", ".join(thresholds.RULES)
        raise RunError(f"There is no operating point '{default_operating_point}'. Expected one of: {names}.")
    info = run.dataset_info
    val, test = (read_checked(run.predictions_csv(split), info.classes) for split in SPLITS)
    check_apart(run, val, test)
    # Where the source's own splits leak: what is fitted on val must not be fitted on images that were trained on.
    val = untrained(run, val)
    leaks = leaked(test)
    tests = {"test": test}
    if leaks.any() and not leaks.all():
        tests[WITHOUT_LEAKS] = test.where(~leaks)
    fingerprints = {split: sha256_of(run.predictions_csv(split)) for split in SPLITS}
    notes: list[str] = []

    with noting(notes, "val"):
        fitted = _fit(val, default_operating_point, fingerprints["val"])
        risks = {"before": val.risk(), "after": fitted.val.risk}
        measured = {"val": _measure(val, fitted.val, risks, fitted, bootstrap, seed)}
    for name, images in tests.items():
        with noting(notes, name.replace("_", " ")):
            measured[name] = _measure_test(images, fitted, default_operating_point, prevalence, bootstrap, seed)

    def each(section: str) -> dict[str, Any]:
        """A section by the name of the split, for all splits that have it."""
        return {name: sections[section] for name, sections in measured.items() if section in sections}

    result = {
        "schema_version": SCHEMA_VERSION,
        "generated": info.generated,
        "classes": {"names": list(info.classes.names), "malignant": list(info.classes.malignant)},
        "temperature": fitted.temperature,
        "interval_methods": {
            name: text.format(resamples=bootstrap, seed=seed) for name, text in uncertainty.METHODS.items()
        },
        "fingerprints": {"dataset": run.recorded("dataset_fingerprint"), "predictions": fingerprints},
        "leak": _leak(test) if leaks.any() else None,
        "splits": each("figures"),
        "operating_points": [
            {**point.to_json(), **{split: at_points[point.name] for split, at_points in each("at_points").items()}}
            for point in fitted.points
        ],
        "classification": {
            "operating_points": {name: point.to_json() for name, point in fitted.class_points.items()},
            **each("classification"),
        },
        "calibration": each("calibration"),
        "screening": None
        if prevalence is None
        else {"prevalence": prevalence, "assumed_prevalence": fitted.assumed_prevalence, **each("screening")},
        "decision_curve": each("decision_curve"),
        "triage": {
            **fitted.bands.to_json(),
            "rules": triage.RULES,
            "has_uncertain_band": fitted.bands.has_uncertain_band,
            **each("triage"),
        },
        "conformal": [
            {
                "alpha": alpha,
                "least_probability": dict(zip(info.classes.names, least.tolist(), strict=True)),
                **{split: by_alpha[alpha] for split, by_alpha in each("conformal").items()},
            }
            for alpha, least in fitted.least_probabilities.items()
        ],
        "subgroups": each("subgroups"),
        "subgroup_gaps": {split: subgroups.largest_gaps(rows) for split, rows in each("subgroups").items()},
        "warnings": notes,
    }
    chosen = Chosen(
        temperature=fitted.temperature,
        default=default_operating_point,
        operating_points=tuple(fitted.points),
        class_points=fitted.class_points,
        triage=fitted.bands,
        assumed_prevalence=fitted.assumed_prevalence,
        isotonic=fitted.isotonic.to_json(),
    )
    write_chosen(run.operating_points_json, chosen)
    write_json(run.metrics_json, result)
    return result


def _fit(val: Predictions, default_operating_point: str, fingerprint: str) -> Fitted:
    temperature = fit_temperature(val)
    points = thresholds.fit(val, temperature, fingerprint=fingerprint)
    images = scored(val, temperature)
    return Fitted(
        temperature=temperature,
        isotonic=fit_isotonic(images.labels, images.risk),
        points=points,
        class_points=classification.fit(val, temperature, default_operating_point, fingerprint=fingerprint),
        bands=triage.fit(images.labels, images.risk),
        assumed_prevalence=screening.assumed_prevalence(*images),
        least_probabilities={alpha: conformal.fit(val, temperature, alpha) for alpha in conformal.ALPHAS},
        val=images,
    )


def _measure(
    predictions: Predictions, images: Scored, risks: dict[str, Floats], fitted: Fitted, bootstrap: int, seed: int
) -> dict[str, Any]:
    """The sections of metrics.json that every split has; `risks` are the versions of its risk, by name."""
    called = classification.called(predictions, fitted.temperature, fitted.class_points)
    figures, at_points = decisions.measure(images, fitted.points, resamples=bootstrap, seed=seed)
    return {
        "figures": figures,
        "at_points": at_points,
        "classification": classification.measure(
            predictions, fitted.temperature, called, resamples=bootstrap, seed=seed
        ),
        "calibration": calibration.measure(images.labels, risks, images.groups, resamples=bootstrap, seed=seed),
        "triage": triage.measure(fitted.bands, *images),
    }


def _measure_test(
    test: Predictions,
    fitted: Fitted,
    default_operating_point: str,
    prevalence: float | None,
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """The sections of metrics.json of one version of the test: as published, or without the leaked images."""
    images = scored(test, fitted.temperature)
    risks = {
        "before": test.risk(),
        "after": images.risk,
        "isotonic": fitted.isotonic(images.risk),
    }
    sections = _measure(test, images, risks, fitted, bootstrap, seed)
    if prevalence is not None:
        there = partial(rebase, assumed=fitted.assumed_prevalence, prevalence=prevalence)
        sections["screening"] = screening.measure(
            prevalence,
            sections["at_points"],
            {point.name: there(point.threshold) for point in fitted.points},
            images._replace(risk=there(images.risk)),
        )
    threshold = next(point.threshold for point in fitted.points if point.name == default_operating_point)
    return {
        **sections,
        "decision_curve": decision_curve.measure(*images, prevalence=float(images.labels.mean())),
        "conformal": {
            alpha: conformal.measure(test, fitted.temperature, least)
            for alpha, least in fitted.least_probabilities.items()
        },
        "subgroups": subgroups.measure(test.columns, *images, called=images.risk >= threshold),
    }


def _leak(test: Predictions) -> dict[str, Any]:
    """How many test images share a lesion, patient or picture with which other split."""
    leaks = test.where(leaked(test))
    return {
        "num_images": len(leaks.image_ids),
        "num_groups": len(set(leaks.groups)),
        "also_in": {split: int(test.leaks_into(split).sum()) for split in ("train", "val")},
    }


@contextmanager
def noting(notes: list[str], split: str) -> Iterator[None]:
    """Adds each warning that the block raises to `notes`, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", metrics.UndefinedMetricWarning)
        yield
    notes += dict.fromkeys(f"{split}: {warning.message}" for warning in caught)

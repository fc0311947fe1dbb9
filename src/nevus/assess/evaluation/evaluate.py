"""From a run's predictions to `operating_points.json` and `metrics.json`.

Defines the order: the class weights of the training are undone, temperature and thresholds are chosen
on validation, then applied once to the test, and never the other way round. It must not open a model or draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from nevus.assess.evaluation import sections
from nevus.assess.evaluation.out_of_source import choose_elsewhere, read_out_of_source
from nevus.assess.sections import classification, conformal, decisions, thresholds
from nevus.assess.sections.inputs import check_apart, leaked, read_checked, scored, trained_weights, untrained
from nevus.assess.sections.metric import Sampling
from nevus.assess.sections.section import Elsewhere, Judged, Validation
from nevus.assess.statistics import uncertainty
from nevus.assess.statistics.calibration import fit_temperature
from nevus.assess.statistics.metrics import Floats
from nevus.assess.statistics.undefined import collected_notes
from nevus.core import versions
from nevus.core.chosen import Chosen, write_chosen
from nevus.core.errors import RunError
from nevus.core.files import sha256_of, write_json
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions
from nevus.core.prevalence import rebase
from nevus.core.runs import OUT_OF_SOURCE, Run
from nevus.core.split_names import WITHOUT_LEAKS

SPLITS = ("val", "test")


def evaluate(
    run: Run, *, default_operating_point: str, bootstrap: int, seed: int, prevalence: float | None = None
) -> dict[str, Any]:
    """Chooses temperature and thresholds on validation, measures both splits, and writes both JSON files of the run.

    Where the run's sources were left out one after the other, thresholds are chosen on these instead, by
    `choose_elsewhere`.

    Args:
        run: with `predictions/val.csv` and `predictions/test.csv`, and `predictions/out_of_source.csv` if it has one.
        default_operating_point: name of the point for decisions unless another is asked for.
        bootstrap: number of resamples.
        seed: of the bootstrap.
        prevalence: in (0, 1), for the metrics of a screening; None to leave them out.

    Returns:
        What `metrics.json` holds, as docs/evaluation.md describes it; undefined metrics are NaN.

    Raises:
        RunError: predictions are missing or damaged, val and test share an image or a group, a class is
            absent from val or leaks into train as a whole, or there is no operating point of the default name.
    """
    if default_operating_point not in thresholds.RULES:
        names = ", ".join(thresholds.RULES)
        raise RunError(f"There is no operating point '{default_operating_point}'. Expected one of: {names}.")
    info = run.dataset_info
    weights = trained_weights(run)
    val, test = (read_checked(run.predictions_csv(split), info.classes, weights) for split in SPLITS)
    check_apart(run, val, test)
    # Where the source's own splits leak: what is fitted on val must not be fitted on images that were trained on.
    val = untrained(run, val)
    leaks = leaked(test)
    tests = {"test": test}
    if leaks.any() and not leaks.all():
        tests[WITHOUT_LEAKS] = test.where(~leaks)
    fingerprints = {split: sha256_of(run.predictions_csv(split)) for split in SPLITS}
    elsewhere = read_out_of_source(run, info.classes)
    sampling = Sampling(bootstrap, seed)
    notes: list[str] = []

    with noting(notes, "val"):
        temperature = fit_temperature(val)
        images = scored(val, temperature)
        fitted = sections.fit(Validation(val, temperature, images, default_operating_point, fingerprints["val"]))
    if elsewhere:
        fingerprints[OUT_OF_SOURCE] = elsewhere.fingerprint
        with noting(notes, "sources left out"):
            fitted |= choose_elsewhere(elsewhere, fitted, default_operating_point)
    with noting(notes, "val"):
        judge = partial(_judge, temperature=temperature, fitted=fitted, default_point=default_operating_point)
        of_val = [section for section in sections.SECTIONS if section.on_validation]
        measured = {"val": sections.measure(judge(val), sampling, of_val)}
    for name, predictions in tests.items():
        with noting(notes, name.replace("_", " ")):
            judged = judge(predictions, prevalence=prevalence, is_test=True)
            measured[name] = sections.measure(judged, sampling)

    result = {
        "schema_version": versions.METRICS_JSON,
        "generated": info.generated,
        "classes": {"names": list(info.classes.names), "malignant": list(info.classes.malignant)},
        "temperature": temperature,
        "class_weights": weights,
        "interval_methods": interval_methods(sampling),
        "fingerprints": {"dataset": run.recorded("dataset_fingerprint"), "predictions": fingerprints},
        "leak": leak_counts(test) if leaks.any() else None,
        **sections.to_json(fitted, measured),
        "warnings": notes,
    }
    write_chosen(run.operating_points_json, _chosen(fitted, temperature, default_operating_point, weights))
    write_json(run.metrics_json, result)
    return result


def _chosen(fitted: Mapping[str, Any], temperature: float, default: str, weights: Mapping[str, float]) -> Chosen:
    """What was fitted, in the form in which the stages after this one read it."""
    return Chosen(
        temperature=temperature,
        default=default,
        operating_points=tuple(fitted["operating_points"]),
        class_points=fitted["classification"],
        triage=fitted["triage"],
        assumed_prevalence=fitted["screening"],
        isotonic=fitted["calibration"].to_json(),
        class_weights=weights,
    )


def _judge(
    predictions: Predictions,
    *,
    temperature: float,
    fitted: Mapping[str, Any],
    default_point: str,
    prevalence: float | None = None,
    is_test: bool = False,
) -> Judged:
    """Applies to the images of a split everything that was fitted on validation."""
    images = scored(predictions, temperature)
    risks = {"before": predictions.weighted_risk(), "after": images.risk}
    if is_test:  # On the images that it was fitted on, the isotonic map would look better than it is.
        risks["isotonic"] = fitted["calibration"](images.risk)
    bands = fitted["triage"]
    names = predictions.classes.names
    points = fitted["operating_points"]
    return Judged(
        predictions=predictions,
        temperature=temperature,
        images=images,
        risks=risks,
        decisions=decisions.decide(images, points),
        default_point=default_point,
        called=classification.called(predictions, temperature, fitted["classification"]),
        low=images.risk < bands.rule_out,
        high=images.risk >= bands.rule_in,
        sets={
            alpha: conformal.sets_of(predictions, temperature, np.array([least[name] for name in names]))
            for alpha, least in fitted["conformal"].items()
        },
        assured=[one.threshold for one in fitted["assurance"]],
        elsewhere=None if prevalence is None else rebased(images.risk, points, fitted["screening"], prevalence),
    )


def rebased(risk: Floats, points: Sequence[OperatingPoint], assumed: float, prevalence: float) -> Elsewhere:
    """Risks and thresholds where a share `prevalence` is malignant, from the share that they assume; both in (0, 1)."""
    there = partial(rebase, assumed=assumed, prevalence=prevalence)
    return Elsewhere(prevalence, {point.name: there(point.threshold) for point in points}, there(risk))


def interval_methods(sampling: Sampling) -> dict[str, str]:
    """How the intervals are made, for the reader of the file."""
    return {name: text.format(**sampling._asdict()) for name, text in uncertainty.METHODS.items()}


def leak_counts(test: Predictions) -> dict[str, Any]:
    """How many test images share a lesion, patient or picture with which other split."""
    leaks = test.where(leaked(test))
    return {
        "num_images": len(leaks.image_ids),
        "num_groups": len(set(leaks.groups)),
        "also_in": {split: int(test.leaks_into(split).sum()) for split in ("train", "val")},
    }


@contextmanager
def noting(notes: list[str], split: str) -> Iterator[None]:
    """Adds what the block finds undefined to `notes`, each once, after the name of the split."""
    with collected_notes() as found:
        yield
    notes += [f"{split}: {note}" for note in found]

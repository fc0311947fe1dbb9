"""The report of a cross-validation: metrics over the folds and pooled, and what the ensemble is.

Reads what `cross_validation` and the folds' runs left; computes no metric. The page is
of the same make as that of a single run, and links to the report of each fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from nevus.assess.evaluation import results
from nevus.assess.evaluation.cross_validation import OUT_OF_FOLD
from nevus.assess.evaluation.folds import FOLD, RUN_AGAIN
from nevus.assess.pages.facts import command_of
from nevus.assess.pages.mistakes import most_confident, pictures
from nevus.assess.pages.rendering import template
from nevus.assess.pages.report_plots import Plots, drawn, mark, write_pngs
from nevus.assess.plots import class_plots, curve_plots, decision_plots, metric_plots
from nevus.assess.plots.drawing import Floats
from nevus.assess.sections import (
    calibration,
    classification,
    conformal,
    decision_curve,
    decisions,
    scores,
    screening,
    subgroups,
    triage,
)
from nevus.assess.sections.calibration import CALIBRATION
from nevus.assess.sections.classified import shown_metrics
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.sections.inputs import scored
from nevus.assess.sections.scores import SCORES
from nevus.assess.sections.shapes import flag, known, number, parsed, positive, text
from nevus.assess.statistics.bands import curve_bands
from nevus.core import split_names
from nevus.core.errors import RunError
from nevus.core.files import sha256_of, write_text
from nevus.core.predictions import Predictions, read_predictions
from nevus.core.runs import Run
from nevus.core.split_names import WITHOUT_LEAKS
from nevus.core.versions import CROSS_VALIDATION_JSON, read_versioned

# Those that share an axis: a Brier score is a matter of another size.
_RANKING = {metric.name: metric.title for metric in SCORES if metric.name != "brier"}
_SPREAD = dict.fromkeys(("mean", "standard_deviation", "min", "max"), number)
_VERSIONS = (WITHOUT_LEAKS, "test")
SHAPE = {
    "generated": flag,
    "interval_methods": {"*": text},
    "fingerprints": {"dataset": text, "predictions": {"*": text}},
    "out_of_fold": scores.SHAPE,
    "over_folds": {metric.name: _SPREAD for metric in SCORES},
    "operating_points": [
        {
            "name": text,
            "rule": text,
            "thresholds": [known],
            "out_of_fold": decisions.SHAPE,
            "over_folds": {metric.name: _SPREAD for metric in DECISIONS},
        }
    ],
    "classification": {
        "operating_points": {"*": {"thresholds": [known]}},
        "out_of_fold": classification.SHAPE,
        "over_folds": {"*": _SPREAD},
    },
    "classes": {"names": [text], "malignant": [text]},
    "folds": [{"name": text, "temperature": positive, "test": scores.SHAPE}],
    "calibration": calibration.SECTION.shape,
    "screening?": {
        "prevalence": known,
        "assumed_prevalence": [number],
        "out_of_fold": {
            "operating_points": [{**screening.SCREENED, "risk_at_threshold": [number]}],
            "decision_curve": decision_curve.SHAPE,
        },
    },
    "decision_curve": decision_curve.SHAPE,
    # Absent from files of earlier versions.
    "triage?": triage.SECTION.shape,
    "conformal?": [{"alpha": number, OUT_OF_FOLD: conformal.SECTION.shape}],
    "subgroups": subgroups.SECTION.shape,
    "subgroup_gaps": [subgroups.GAP_SHAPE],
    "ensemble": {
        "splits": {f"{name}?": scores.SHAPE for name in _VERSIONS},
        "classification?": {f"{name}?": classification.SHAPE for name in _VERSIONS},
        "operating_points": [
            {"name": text, "threshold": known, "fitted_on": text, **{f"{name}?": decisions.SHAPE for name in _VERSIONS}}
        ],
    },
    "warnings": [text],
}


def write_cross_validation_page(run: Run) -> Path:
    """Writes `report.html` and `plots/*.png` of a cross-validation that is evaluated.

    Returns:
        The path of the page.

    Raises:
        RunError: a file of the cross-validation is missing, damaged or of another version.
    """
    found = _read(run)
    record, info = results.read_record(run), results.read_info(run)
    point = results.default_point(run, found)
    pooled = read_predictions(run.predictions_csv(OUT_OF_FOLD), info.classes)
    threshold = _own_thresholds(pooled, found, point)
    missed, false_alarms = most_confident(pooled, 1.0, threshold)
    thumbnails = pictures(run, (*missed, *false_alarms), len(pooled.image_ids))
    ensemble = found["ensemble"]["splits"]
    shown, images = drawn(_plots(found, point["name"], pooled))
    page = template("cross_validation.html.j2").render(
        run=run,
        record=record,
        info=info,
        found=found,
        point=point,
        scores=SCORES,
        decisions=DECISIONS,
        calibration=CALIBRATION,
        class_metrics=shown_metrics(len(info.classes.names)),
        subgroup_metrics=subgroups.METRICS,
        plots=shown,
        reports=[quote(f"{fold.name}/{fold.report_html.name}") for fold in run.folds],
        versions={name: split_names.VERSIONS[name] for name in _VERSIONS if ensemble[name]},
        missed=missed,
        false_alarms=false_alarms,
        pictures=thumbnails,
        parity=results.read_parity(run),
        command=command_of(record),
    )
    write_pngs(run.plots, images)
    write_text(run.report_html, page)
    return run.report_html


def _read(run: Run) -> dict[str, Any]:
    """`cross_validation.json`: each metric an Estimate, NaN for what cannot be known."""
    path = run.cross_validation_json
    data = read_versioned(path, CROSS_VALIDATION_JSON, RUN_AGAIN)
    found: dict[str, Any] = parsed(data, SHAPE, str(path), RUN_AGAIN)
    for name, fingerprint in found["fingerprints"]["predictions"].items():
        predictions = run.predictions_csv(name)
        if not predictions.exists() or sha256_of(predictions) != fingerprint:
            raise RunError(f"{predictions} is not the file that {path} was made from. {RUN_AGAIN}")
    results.check_classification(path, found["classification"][OUT_OF_FOLD], found["classes"]["names"], RUN_AGAIN)
    if any(len(point["thresholds"]) != len(found["folds"]) for point in found["operating_points"]):
        raise RunError(f"{path}: an operating point lacks the threshold of a fold. {RUN_AGAIN}")
    return found


def _own_thresholds(pooled: Predictions, found: Mapping[str, Any], point: Mapping[str, Any]) -> Floats:
    """float64 [N]: the threshold of each image's own fold."""
    of_fold = dict(zip((fold["name"] for fold in found["folds"]), point["thresholds"], strict=True))
    try:
        return np.array([of_fold[name] for name in pooled.columns[FOLD]], dtype=np.float64)
    except KeyError as problem:
        raise RunError(f"predictions/{OUT_OF_FOLD}.csv: unknown fold or column {problem}. {RUN_AGAIN}") from None


def _plots(found: Mapping[str, Any], default_name: str, pooled: Predictions) -> Plots:
    images = scored(pooled, 1.0)
    of_all = found["out_of_fold"]
    # One threshold is used for all where a plot only marks what came of them.
    marks = [
        mark({**point, "threshold": float(np.mean(point["thresholds"]))}, OUT_OF_FOLD, default_name)
        for point in found["operating_points"]
    ]
    of_fold = np.asarray(pooled.columns[FOLD])
    parts = [(images.labels[of_fold == name], images.risk[of_fold == name]) for name in dict.fromkeys(of_fold)]
    roc_band, precision_band = curve_bands(*images)
    made = [
        metric_plots.fold_spread(
            {title: of_all[name] for name, title in _RANKING.items()},
            {title: [fold["test"][name].value for fold in found["folds"]] for name, title in _RANKING.items()},
        ),
        curve_plots.roc(images.labels, images.risk, marks, of_all["roc_auc"], roc_band, parts),
        curve_plots.precision_recall(
            images.labels, images.risk, marks, of_all["average_precision"], precision_band, parts
        ),
        decision_plots.confusion_matrices(marks),
        class_plots.confusion_of_classes(found["classification"][OUT_OF_FOLD], found["classes"]["malignant"]),
        metric_plots.reliability(found["calibration"]["before"], found["calibration"]["after"]),
        metric_plots.decision_curve(found["decision_curve"]),
    ]
    if found["screening"]:
        made.append(metric_plots.decision_curve(found["screening"][OUT_OF_FOLD]["decision_curve"], screening=True))
    if found["subgroups"]:
        made.append(metric_plots.subgroups(found["subgroups"], of_all["roc_auc"]))
    return {plot.name: [plot] for plot in made}

"""The report of a run: one HTML page that holds everything, and its figures as PNG files.

Reads what the stages before left in the run's folder and computes no metric. The
page needs no script and asks nothing of any server; its own policy forbids both.
Class names, file names and paths may hold anything: the template escapes them.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nevus.assess import plots
from nevus.assess.drawing import Plot
from nevus.assess.history import read_history, training_curves
from nevus.assess.mistakes import most_confident, thumbnails
from nevus.core.config import options
from nevus.core.errors import RunError
from nevus.core.estimate import Estimate
from nevus.core.files import read_json, sha256_of, write_text
from nevus.core.manifest import SPLITS
from nevus.core.modelfile import DISCLAIMER, INTENDED_USE, LIMITATIONS
from nevus.core.predictions import Predictions, read_predictions
from nevus.core.runs import Run

SCHEMA_VERSION = 1
_TRAIN, _EVALUATE = "Run 'nevus train' first.", "Run 'nevus evaluate' first."

# A prevalence near that of melanoma where people are screened, for the example of what becomes of the predictive value.
_SCREENING_PREVALENCE = 0.01


def write_report(run: Run) -> Path:
    """Writes `report.html` and `plots/*.png` of a run that was trained and evaluated.

    Returns:
        The path of the report.

    Raises:
        RunError: a file that an earlier stage writes is missing, damaged or of another version; names the stage.
    """
    try:
        page, figures = _render(run)
    except (KeyError, jinja2.UndefinedError) as problem:
        raise RunError(
            f"{run.run_json}, {run.operating_points_json.name} or {run.metrics_json.name} lacks a field ({problem}). "
            "Run 'nevus evaluate' again, and 'nevus train' if that does not help."
        ) from None
    for plot in figures:
        plot.write_png(run.plots / f"{plot.name}.png")
    write_text(run.report_html, page)
    return run.report_html


def _render(run: Run) -> tuple[str, list[Plot]]:
    """The page, and the figures in it."""
    record, info = run.record, run.dataset_info
    history = read_history(run.history_csv)
    config = read_json(run.config_json, _TRAIN)
    test = read_predictions(run.predictions_csv("test"), info.classes)
    metrics = _read_evaluation(run.metrics_json)
    _check_current(run, metrics)
    training: dict[str, Any] = record.get("training", {})
    point = _default_point(metrics["operating_points"], _read_evaluation(run.operating_points_json)["default"])
    figures = _plots(metrics, point["name"], test, history, training.get("best_epoch"))
    missed, false_alarms = most_confident(test, metrics["temperature"], point["threshold"])
    page = _template().render(
        run=run,
        record=record,
        info=info,
        metrics=metrics,
        point=point,
        plots=[(plot, Markup(plot.svg())) for plot in figures],
        ppv_when_rare=_ppv_at(_SCREENING_PREVALENCE, point["test"]),
        screening_prevalence=_SCREENING_PREVALENCE,
        training=training,
        config=config,
        options=options(),
        parity=read_json(run.parity_json, "Run 'nevus export' again.") if run.parity_json.exists() else None,
        command=shlex.join(record.get("command", [])),
        missed=missed,
        false_alarms=false_alarms,
        thumbnails=thumbnails(run, [mistake.image_id for mistake in (*missed, *false_alarms)]),
        splits=SPLITS,
        disclaimer=DISCLAIMER,
        intended_use=INTENDED_USE,
        limitations=LIMITATIONS,
    )
    return page, figures


def _read_evaluation(path: Path) -> dict[str, Any]:
    data = read_json(path, _EVALUATE)
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        raise RunError(f"{path}: expected schema_version {SCHEMA_VERSION}. Run 'nevus evaluate' again.")
    parsed: dict[str, Any] = _with_estimates(data)
    return parsed


def _check_current(run: Run, metrics: dict[str, Any]) -> None:
    """Figures and tables of one page must come from the same predictions."""
    for split, fingerprint in metrics["fingerprints"]["predictions"].items():
        path = run.predictions_csv(split)
        if not path.exists() or sha256_of(path) != fingerprint:
            raise RunError(f"{path} is not the file that {run.metrics_json} was made from. Run 'nevus evaluate' again.")


def _with_estimates(value: Any) -> Any:
    """The same JSON value with each {value, low, high} as an Estimate."""
    if isinstance(value, dict):
        if value.keys() == {"value", "low", "high"}:
            return Estimate.from_json(value)
        return {key: _with_estimates(item) for key, item in value.items()}
    return [_with_estimates(item) for item in value] if isinstance(value, list) else value


def _default_point(points: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for point in points:
        if point["name"] == name:
            return point
    names = ", ".join(point["name"] for point in points)
    raise RunError(f"The default operating point '{name}' is none of: {names}. Run 'nevus evaluate' again.")


def _plots(
    metrics: dict[str, Any],
    default_name: str,
    test: Predictions,
    history: Mapping[str, NDArray[np.float64]],
    best_epoch: int | None,
) -> list[Plot]:
    is_malignant, risk = test.is_malignant, test.risk(metrics["temperature"])
    marks = [_mark(point, point["name"] == default_name) for point in metrics["operating_points"]]
    default = next(mark for mark in marks if mark.is_default)
    scores = metrics["splits"]["test"]
    return [
        plots.roc(is_malignant, risk, marks, scores["roc_auc"]),
        plots.score_histogram(is_malignant, risk, default),
        plots.precision_recall(is_malignant, risk, marks, scores["average_precision"]),
        plots.threshold_sweep(is_malignant, risk, marks),
        plots.confusion_matrices(marks),
        training_curves(history, best_epoch),
    ]


def _mark(point: dict[str, Any], is_default: bool) -> plots.Mark:
    test = point["test"]
    return plots.Mark(
        name=point["name"],
        threshold=point["threshold"],
        is_default=is_default,
        sensitivity=test["sensitivity"].value,
        specificity=test["specificity"].value,
        ppv=test["ppv"].value,
        confusion=(
            (test["true_negatives"], test["false_positives"]),
            (test["false_negatives"], test["true_positives"]),
        ),
    )


def _ppv_at(prevalence: float, test: dict[str, Any]) -> float:
    """The positive predictive value at another prevalence, by Bayes' theorem (Altman and Bland 1994, BMJ 309:102)."""
    caught = test["sensitivity"].value * prevalence
    false_alarms = (1 - test["specificity"].value) * (1 - prevalence)
    return float(caught / (caught + false_alarms)) if caught + false_alarms else math.nan


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nevus.assess"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=_figure, of_hundred=_of_hundred, filled_squares=_filled_squares, plain=_plain)
    return environment.get_template("report.html.j2")


def _figure(value: float) -> str:
    return "not defined" if math.isnan(value) else f"{value:.3f}"


def _of_hundred(share: float) -> str:
    """A share of [0, 1] as a count of a hundred; never rounded to all or none when it is not."""
    if math.isnan(share):
        return "an unknown number"
    if 0 < share < 0.005:
        return "fewer than 1"
    if 0.995 <= share < 1:
        return "more than 99"
    return f"{100 * share:.0f}"


def _filled_squares(share: float) -> int:
    """How many of a hundred squares stand for a share of [0, 1]; all or none only if it is."""
    return round(100 * share) if share in (0, 1) else min(99, max(1, round(100 * share)))


def _plain(value: Any) -> str:
    """A value of a JSON file as a person would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    return str(value)

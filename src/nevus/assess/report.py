"""The report of a run: one HTML page that holds everything, its figures as PNG files, and a model card.

Reads what the stages before left in the run's folder and computes no metric. The
page needs no script and asks nothing of any server; its own policy forbids both.
Class names, file names and paths may hold anything: the template escapes them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nevus.assess import checklist, curve_plots, metric_plots, plots, results, screening, wording
from nevus.assess.bands import curve_bands
from nevus.assess.card import make_card
from nevus.assess.drawing import Plot
from nevus.assess.history import read_history, training_curves
from nevus.assess.inputs import scored
from nevus.assess.mistakes import most_confident, pictures
from nevus.core.config import options
from nevus.core.errors import RunError
from nevus.core.files import write_text
from nevus.core.manifest import SPLITS
from nevus.core.modelfile import DISCLAIMER, INTENDED_USE, LIMITATIONS
from nevus.core.predictions import Predictions, read_predictions
from nevus.core.runs import Run

# A prevalence near that of melanoma where people are screened, for the example of what becomes of the predictive value.
_SCREENING_PREVALENCE = 0.01

AS_PUBLISHED, WITHOUT_LEAKS = "as published", "without the leaked images"


def write_report(run: Run) -> Path:
    """Writes `report.html`, `model_card.md` and `plots/*.png` of a run that was trained and evaluated.

    Returns:
        The path of the report.

    Raises:
        RunError: a file that an earlier stage writes is missing, damaged or of another version; names the stage.
    """
    try:
        page, card, figures = _render(run)
    except jinja2.UndefinedError as problem:
        raise RunError(f"{run.metrics_json} lacks a field ({problem}). Run 'nevus evaluate' again.") from None
    for plot in figures:
        plot.write_png(run.plots / f"{plot.name}.png")
    write_text(run.model_card_md, card)
    write_text(run.report_html, page)
    return run.report_html


def _render(run: Run) -> tuple[str, str, list[Plot]]:
    """The page, the model card, and the figures in the page."""
    record, info = results.read_record(run), results.read_info(run)
    history = read_history(run.history_csv)
    config = results.read_config(run)
    test = read_predictions(run.predictions_csv("test"), info.classes)
    metrics = results.read_metrics(run)
    point = results.default_point(run, metrics)
    training = record["training"] or {}
    scores = _scores(metrics, point)
    best_epoch = training.get("best_epoch")
    figures = _plots(metrics, point["name"], test, history, best_epoch if isinstance(best_epoch, int) else None)
    missed, false_alarms = most_confident(test, metrics["temperature"], point["threshold"])
    audit = results.read_audit(run)
    facts = wording.facts_of(record, info, metrics, config, results.dataset_licences(run))
    card = make_card(run.name, facts, scores, point, metrics["subgroup_gaps"] or [])
    page = _template().render(
        run=run,
        record=record,
        info=info,
        metrics=metrics,
        point=point,
        scores=scores,
        plots={plot.name: (plot, Markup(plot.svg())) for plot in figures},
        ppv_when_rare=screening.ppv_at(
            _SCREENING_PREVALENCE, scores[0][2]["sensitivity"], scores[0][2]["specificity"]
        ).value,
        screening_prevalence=_SCREENING_PREVALENCE,
        decision_figures=results.DECISION_FIGURES,
        training=training,
        config=config,
        options=options(),
        parity=results.read_parity(run),
        probe=results.read_probe(run),
        facts=facts,
        missed=missed,
        false_alarms=false_alarms,
        pictures=pictures(run, (*missed, *false_alarms), len(test.image_ids)),
        audit=audit,
        audit_page=_link(run, run.dataset.audit_html),
        splits=SPLITS,
        card=card,
        checklists=[checklist.fill_in(name, facts, _sections(metrics, audit)) for name in checklist.NAMES],
        disclaimer=DISCLAIMER,
        intended_use=INTENDED_USE,
        limitations=LIMITATIONS,
    )
    return page, card.to_markdown(), figures


def _sections(metrics: Mapping[str, Any], audit: list[dict[str, Any]] | None) -> set[str]:
    """The optional sections of the page, by the names that the checklists use."""
    optional = ("calibration", "decision_curve", "screening", "triage", "conformal", "subgroups")
    sections = {name for name in optional if metrics[name]}
    if audit is not None:
        sections.add("audit")
    if any("skin" in row["column"].lower() for row in metrics["subgroups"] or []):
        sections.add("skin type")
    return sections


def _scores(metrics: Mapping[str, Any], point: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Name, figures, and figures at the default point, of each version of the test split; the one to quote first."""
    published = metrics["splits"]["test"], point["test"]
    if not _leaks(metrics):
        return [("test split", *published)]
    return [
        (WITHOUT_LEAKS, metrics["splits"]["test_without_leaks"], point["test_without_leaks"]),
        (AS_PUBLISHED, *published),
    ]


def _leaks(metrics: Mapping[str, Any]) -> bool:
    """True if every score is there a second time, without the leaked images."""
    without = [part["test_without_leaks"] for part in (metrics["splits"], *metrics["operating_points"])]
    return all(part is not None for part in without)


def _plots(
    metrics: Mapping[str, Any],
    default_name: str,
    test: Predictions,
    history: Mapping[str, NDArray[np.float64]],
    best_epoch: int | None,
) -> list[Plot]:
    labels, risk, groups = scored(test, metrics["temperature"])
    points, scores = metrics["operating_points"], metrics["splits"]["test"]
    marks = [_mark(point, "test", default_name) for point in points]
    default = next(mark for mark in marks if mark.is_default)
    roc_band, precision_band = curve_bands(labels, risk, groups)
    clean = np.array([not splits for splits in test.also_in]) if any(test.also_in) else None
    made = [
        plots.score_histogram(labels, risk, default),
        plots.threshold_sweep(labels, risk, marks),
        curve_plots.roc(labels, risk, marks, scores["roc_auc"], roc_band, clean),
        curve_plots.precision_recall(labels, risk, marks, scores["average_precision"], precision_band, clean),
        training_curves(history, best_epoch),
    ]
    if _leaks(metrics):
        made.append(
            plots.confusion_matrices([_mark(one, "test_without_leaks", default_name) for one in points], WITHOUT_LEAKS)
        )
        made.append(plots.confusion_matrices(marks, AS_PUBLISHED))
    else:
        made.append(plots.confusion_matrices(marks))
    if metrics["calibration"]:
        made.append(metric_plots.reliability(*(metrics["calibration"]["test"][name] for name in ("before", "after"))))
    if metrics["decision_curve"]:
        made.append(metric_plots.decision_curve(metrics["decision_curve"]))
    if metrics["screening"]:
        made.append(metric_plots.decision_curve(metrics["screening"]["decision_curve"], screening=True))
    if metrics["triage"]:
        malignant = scores["num_malignant"]
        by_class = {"benign": scores["num_images"] - malignant, "malignant": malignant}
        made.append(metric_plots.triage(metrics["triage"]["test"], by_class))
    if metrics["subgroups"]:
        made.append(metric_plots.subgroups(metrics["subgroups"], scores["roc_auc"]))
    return made


def _mark(point: Mapping[str, Any], split: str, default_name: str) -> plots.Mark:
    at_point = point[split]
    return plots.Mark(
        name=point["name"],
        threshold=point["threshold"],
        is_default=point["name"] == default_name,
        sensitivity=at_point["sensitivity"].value,
        specificity=at_point["specificity"].value,
        ppv=at_point["ppv"].value,
        confusion=(
            (at_point["true_negatives"], at_point["false_positives"]),
            (at_point["false_negatives"], at_point["true_positives"]),
        ),
    )


def _link(run: Run, path: Path) -> str | None:
    """The way from the report to a file, for a link; None if the file is not there."""
    return quote(os.path.relpath(path, run.directory.resolve())) if path.exists() else None


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nevus.assess"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for word in (wording.figure, wording.small_risk, wording.of_hundred, wording.filled_squares, wording.plain):
        environment.filters[word.__name__] = word
    return environment.get_template("report.html.j2")

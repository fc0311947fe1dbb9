"""The report of a run: one HTML page that holds everything, its plots as PNG files, and a model card.

Reads what the stages before left in the run's folder and computes no metric. The
page needs no script and asks nothing of any server; its own policy forbids both.
Class names, file names and paths may hold anything: the template escapes them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from nevus.assess.evaluation import results, stress_form
from nevus.assess.pages import checklist
from nevus.assess.pages.card import make_card
from nevus.assess.pages.facts import facts_of
from nevus.assess.pages.mistakes import most_confident_at, pictures
from nevus.assess.pages.pictures import jpeg_uri
from nevus.assess.pages.rendering import template
from nevus.assess.pages.report_plots import drawn, plots_of_report, write_pngs
from nevus.assess.pages.source_facts import source_figures
from nevus.assess.pages.stress_page import MOST_IN_REPORT, pictures_of_run
from nevus.assess.plots.history import read_history
from nevus.assess.sections import screening, subgroups
from nevus.assess.sections.calibration import CALIBRATION
from nevus.assess.sections.classified import shown_metrics
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.sections.scores import SCORES
from nevus.core import split_names
from nevus.core.class_weights import log_weights
from nevus.core.config import options
from nevus.core.errors import RunError
from nevus.core.files import write_text
from nevus.core.manifest import SPLITS
from nevus.core.predictions import read_predictions
from nevus.core.runs import OUT_OF_SOURCE, Run

# A prevalence near that of melanoma where people are screened, for the example of what becomes of the predictive value.
_SCREENING_PREVALENCE = 0.01

# What the template takes that no run changes.
_SAME_IN_ALL = {
    "screening_prevalence": _SCREENING_PREVALENCE,
    "scores": SCORES,
    "decisions": DECISIONS,
    "calibration": CALIBRATION,
    "subgroup_metrics": subgroups.METRICS,
    "options": options(),
    "most_changes": MOST_IN_REPORT,
    "splits": SPLITS,
}


def write_report(run: Run, sources: Run | None = None) -> Path:
    """Writes `report.html`, `model_card.md` and `plots/*.png` of a run that was trained and evaluated.

    Args:
        run: whose report it is.
        sources: a run of the same recipe with sources left out, whose figures the report and the card open with; those
            of `run` itself, if it has any, if None.

    Returns:
        The path of the report.

    Raises:
        RunError: a file that an earlier stage writes is missing, damaged or of another version; names the stage.
    """
    try:
        page, card, images = _render(run, sources)
    except jinja2.UndefinedError as problem:
        raise RunError(f"{run.metrics_json} lacks a field ({problem}). Run 'nevus evaluate' again.") from None
    write_pngs(run.plots, images)
    write_text(run.model_card_md, card)
    write_text(run.report_html, page)
    return run.report_html


def _render(run: Run, sources_of: Run | None) -> tuple[str, str, dict[str, bytes]]:
    """The page, the model card, and the plots of the page as PNG files by name."""
    record, info = results.read_record(run), results.read_info(run)
    history = read_history(run.history_csv)
    config = results.read_config(run)
    # Before the metrics: where it is missing, so is the stage that makes both.
    test = read_predictions(run.predictions_csv("test"), info.classes)
    metrics = results.read_metrics(run)
    test = replace(test, log_weights=log_weights(metrics["class_weights"], info.classes))
    point = results.default_point(run, metrics)
    training = record["training"] or {}
    splits = results.versions_of_test(metrics)
    versions = {split: split_names.VERSIONS[split] if len(splits) > 1 else "test split" for split in splits}
    best_epoch = training.get("best_epoch")
    plots = plots_of_report(
        metrics, versions, point["name"], test, history, best_epoch if isinstance(best_epoch, int) else None
    )
    thresholds = [one["threshold"] for one in metrics["operating_points"]]
    missed, false_alarms = most_confident_at(test, metrics["temperature"], thresholds)
    audit = results.read_audit(run)
    stress = stress_form.read_stress(run)
    sources = source_figures(run, sources_of)
    facts = facts_of(record, info, metrics, config, results.dataset_licences(run), stress, sources)
    card = make_card(run.name, facts, versions, metrics, point, sources)
    thumbnails = pictures(run, (*missed, *false_alarms), len(test.image_ids))
    parity, probe = results.read_parity(run), results.read_probe(run)
    quoted = point[splits[0]]
    # Drawn last: it takes seconds, and all that can be wrong with the files is known by now.
    shown, images = drawn(plots)
    page = template("report.html.j2").render(
        run=run,
        record=record,
        info=info,
        classes=info.classes,
        metrics=metrics,
        point=point,
        versions=versions,
        quoted=splits[0],
        plots=shown,
        ppv_when_rare=screening.ppv_at(_SCREENING_PREVALENCE, quoted["sensitivity"], quoted["specificity"]).value,
        class_metrics=shown_metrics(len(info.classes.names)),
        training=training,
        # Older runs have none.
        augmented=jpeg_uri(run.augmented_jpg.read_bytes()) if run.augmented_jpg.is_file() else "",
        config=config,
        parity=parity,
        outdated=results.outdated(run, parity),
        probe=probe,
        sources=sources,
        chosen_elsewhere=OUT_OF_SOURCE in metrics["fingerprints"]["predictions"],
        stress=stress,
        stress_pictures=pictures_of_run(run, stress, MOST_IN_REPORT),
        facts=facts,
        missed=missed,
        false_alarms=false_alarms,
        pictures=thumbnails,
        audit=audit,
        audit_page=_link(run, run.dataset.audit_html),
        card=card,
        checklists=[checklist.fill_in(name, facts, _sections(metrics, audit)) for name in checklist.NAMES],
        **_SAME_IN_ALL,
    )
    return page, card.to_markdown(), images


def _sections(metrics: Mapping[str, Any], audit: list[dict[str, Any]] | None) -> set[str]:
    """The optional sections of the page, by the names that the checklists use."""
    optional = ("calibration", "decision_curve", "screening", "triage", "conformal")
    sections = {name for name in optional if metrics[name]}
    subgroups = metrics["subgroups"]["test"] if metrics["subgroups"] else []
    if subgroups:
        sections.add("subgroups")
    if any("skin" in row["column"].lower() for row in subgroups):
        sections.add("skin type")
    if audit is not None:
        sections.add("audit")
    return sections


def _link(run: Run, path: Path) -> str | None:
    """The way from the report to a file, for a link; None if the file is not there."""
    return quote(os.path.relpath(path, run.directory.resolve())) if path.exists() else None

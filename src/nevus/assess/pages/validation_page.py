"""The page of a validation: how a model does on images from elsewhere, against where it was developed.

Shows what `evaluation.validation` found and computes no metric. It asks a function for the pixels and heatmaps of the
images that it shows, so that it need not know the model. Names may hold anything: the template escapes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nevus.assess.evaluation import validation
from nevus.assess.pages import checklist
from nevus.assess.pages.mistakes import Mistake, Pictures, most_confident_at, pictured
from nevus.assess.pages.rendering import template
from nevus.assess.pages.report_plots import plots_of_test
from nevus.assess.pages.validation_words import in_words
from nevus.assess.sections import subgroups
from nevus.assess.sections.calibration import CALIBRATION
from nevus.assess.sections.classified import shown_metrics
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.sections.elsewhere import SOURCE_METRICS
from nevus.assess.sections.inputs import leaked
from nevus.assess.sections.scores import SCORES
from nevus.core.estimate import value_text
from nevus.core.files import write_text
from nevus.core.machine import environment
from nevus.core.predictions import Predictions
from nevus.core.preprocess import Pixels
from nevus.core.split_names import WITHOUT_LEAKS

VERSIONS = {WITHOUT_LEAKS: "without images it was trained on", "test": "all images"}

# From places in the predictions to pixels, uint8 [S, S, 3], and heatmaps, float32 [h, w].
Look = Callable[[Sequence[int]], tuple[Sequence[Pixels], Sequence[NDArray[np.float32] | None]]]


def write_validation_page(path: Path, result: Mapping[str, Any], predictions: Predictions, look: Look) -> None:
    """Writes the page.

    Args:
        path: of the HTML file.
        result: from `validation.validate`.
        predictions: that it was made from.
        look: gives pixels and heatmaps of the images at these places in the predictions.
    """
    metrics = validation.read(result)
    splits = [WITHOUT_LEAKS, "test"] if metrics["splits"][WITHOUT_LEAKS] else ["test"]
    quoted = splits[0]
    versions = {split: VERSIONS[split] if len(splits) > 1 else "validation data" for split in splits}
    point = next(one for one in metrics["operating_points"] if one["name"] == metrics["default_operating_point"])
    missed, false_alarms, pictures = _mistakes(metrics, predictions, look)
    plots = plots_of_test(metrics, versions, point["name"], predictions, uncalibrated=False)
    shown = {name: [(plot, Markup(plot.svg())) for plot in of_kind] for name, of_kind in plots.items()}
    page = template("validation.html.j2").render(
        metrics=metrics,
        model=metrics["model"],
        data=metrics["data"],
        point=point,
        versions=versions,
        quoted=quoted,
        several=len(splits) > 1,
        tested="validation data",
        words=in_words(metrics, quoted, point),
        plots=shown,
        scores=SCORES,
        decisions=DECISIONS,
        calibration=CALIBRATION,
        class_metrics=shown_metrics(len(predictions.classes.names)),
        subgroup_metrics=subgroups.METRICS,
        source_metrics=SOURCE_METRICS,
        classes=predictions.classes,
        missed=missed,
        false_alarms=false_alarms,
        pictures=pictures,
        environment=environment(),
        checklist=checklist.fill_in(checklist.VALIDATION, _facts(metrics, quoted), _sections(metrics, quoted)),
    )
    write_text(path, page)


def _mistakes(
    metrics: Mapping[str, Any], predictions: Predictions, look: Look
) -> tuple[list[Mistake], list[Mistake], Pictures]:
    """The most confident mistakes on images that the model was not trained on, and pictures of them."""
    judged = np.flatnonzero(~leaked(predictions)) if metrics["splits"][WITHOUT_LEAKS] else None
    thresholds = [one["threshold"] for one in metrics["operating_points"]]
    chosen = predictions if judged is None else predictions.take(judged)
    missed, false_alarms = (
        [mistake if judged is None else replace(mistake, row=int(judged[mistake.row])) for mistake in kind]
        for kind in most_confident_at(chosen, metrics["temperature"], thresholds)
    )
    shown = [*missed, *false_alarms]
    if not shown:
        return missed, false_alarms, Pictures({}, {}, 0.0)
    pixels, heatmaps = look([mistake.row for mistake in shown])
    names = [mistake.image_id for mistake in shown]
    maps = {name: heatmap for name, heatmap in zip(names, heatmaps, strict=True) if heatmap is not None}
    return missed, false_alarms, pictured(dict(zip(names, pixels, strict=True)), maps)


def _sections(metrics: Mapping[str, Any], split: str) -> set[str]:
    """The optional sections of the page, by the names that the checklist uses."""
    sections = set()
    if metrics["subgroups"] and metrics["subgroups"][split]:
        sections.add("subgroups")
    if len(metrics["sources"]) > 1:
        sections.add("sources")
    if metrics["development"]:
        sections.add("development")
    return sections


def _facts(metrics: Mapping[str, Any], split: str) -> dict[str, str]:
    """What the checklist names of the validation."""
    scores, model, data = metrics["splits"][split], metrics["model"], metrics["data"]
    large, packages = metrics["in_the_large"][split], environment()["packages"]
    columns = dict.fromkeys(row["column"] for row in (metrics["subgroups"] or {}).get(split) or [])
    gap = metrics["against_development"][split].get("roc_auc")
    slope = metrics["calibration"][split]["after"]["slope"]
    return {
        "malignant": ", ".join(metrics["classes"]["malignant"]),
        "classes": ", ".join(metrics["classes"]["names"]),
        "sources": ", ".join(f"{source['name']} ({source['kind']})" for source in data["sources"]),
        "model": f"{model['file']} ({model['network']}, {model['num_parameters']:,} parameters)",
        "trained_on": model["trained_on"],
        "image_size": str(model["image_size"]),
        "images": f"{scores['num_images']:,}",
        "groups": f"{scores['num_groups']:,}",
        "num_malignant": f"{scores['num_malignant']:,}",
        "rejected": f"{data['num_rejected']:,}",
        "clinical": f" and {', '.join(model['clinical'])}, where known" if model["clinical"] else "",
        "num_points": str(len(metrics["operating_points"])),
        "roc_auc": str(scores["roc_auc"]),
        "gap": f"{gap['difference'].text('+')} against its development test" if gap else "not known",
        "in_the_large": f"observed over expected {large['observed_over_expected']}, slope {slope}",
        "prevalence": value_text(large["prevalence"]),
        "columns": ", ".join(columns) or "none",
        "trained_images": _trained_images(metrics),
        "version": packages.get("nevus", "not recorded"),
        "fingerprint": metrics["fingerprints"]["dataset"],
        "licences": ", ".join(data["licences"]) or "none named",
        "licence": model["licence"],
    }


def _trained_images(metrics: Mapping[str, Any]) -> str:
    trained = metrics["data"]["trained_on"]
    if not trained["how"]:
        return "Whether the model was trained on some of these images could not be found out."
    return f"Images that the model was trained on were looked for ({trained['how']}); found: {trained['num_found']:,}."

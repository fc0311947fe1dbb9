"""The page of a run whose sources were left out one after the other: what to expect of a source never seen.

Shows what `sources.json` has and computes no metric; it links to the report of each run without a source.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nevus.assess.evaluation import results
from nevus.assess.evaluation.sources import LINE, SHARES
from nevus.assess.evaluation.sources_form import default_point, read_sources_of
from nevus.assess.pages.facts import command_of
from nevus.assess.pages.rendering import template
from nevus.assess.pages.report_plots import Plots, drawn
from nevus.assess.plots.source_plots import forest
from nevus.assess.sections.calibration import CALIBRATION
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.sections.scores import SCORES
from nevus.assess.statistics.meta_analysis import LEAST_SOURCES_TO_PREDICT
from nevus.core.files import write_text
from nevus.core.runs import Run

_READING = (
    "The interval of the mean says how well the mean of such sources is known; it gets narrow with many sources. The "
    "wide bar says where the next source is likely to lie; it never gets narrower than the sources differ."
)
_OF_THRESHOLD = (
    "The threshold was chosen on the other sources. A source that lies to the left of the others has images whose "
    "risks are lower (sensitivity) or higher (specificity) than the threshold was made for."
)
_DECISIONS = tuple(metric for metric in DECISIONS if metric.name in SHARES)
_LINE = tuple(metric for metric in CALIBRATION if metric.name in LINE)


def write_sources_page(run: Run) -> Path:
    """Writes `sources.html` of a run whose sources were left out.

    Args:
        run: of the whole, with its `sources.json`.

    Returns:
        The path of the page.

    Raises:
        RunError: `sources.json` is missing, damaged, of another version or of other predictions.
    """
    found = read_sources_of(run)
    record, info = results.read_record(run), results.read_info(run)
    pooled = found["pooled"]
    shown, _ = drawn(_plots(found))
    page = template("sources.html.j2").render(
        run=run,
        record=record,
        info=info,
        found=found,
        pooled=pooled,
        point=default_point(found, pooled),
        scores=SCORES,
        decisions=_DECISIONS,
        line=_LINE,
        plots=shown,
        least_to_predict=LEAST_SOURCES_TO_PREDICT,
        reports={one["name"]: _link(run, one["folder"]) for one in found["sources"]},
        own_report=run.report_html.name if run.metrics_json.exists() else None,
        command=command_of(record),
    )
    write_text(run.sources_html, page)
    return run.sources_html


def _link(run: Run, folder: str) -> str | None:
    """The way from the page to the report of a run without a source; None if it is not there."""
    report = Run(run.directory / folder).report_html
    return quote(f"{folder}/{report.name}") if report.exists() else None


def _plots(found: Mapping[str, Any]) -> Plots:
    pooled, sources = found["pooled"], found["sources"]
    point = default_point(found, pooled)
    made = [
        forest(
            "roc-auc-of-sources",
            "ROC-AUC",
            "ROC-AUC",
            {one["name"]: one["roc_auc"] for one in sources},
            pooled["roc_auc"],
            reading=_READING,
        )
    ]
    for metric in _DECISIONS:
        of_sources = {one["name"]: default_point(found, one)[metric.name] for one in sources}
        title = f"{metric.title} at {point['name']}"
        made.append(
            forest(f"{metric.name}-of-sources", title, title, of_sources, point[metric.name], reading=_OF_THRESHOLD)
        )
    return {plot.name: [plot] for plot in made}

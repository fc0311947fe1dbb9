"""What the report and the model card of a run say of sources left out: its own, or those of another run of its recipe.

A model that was trained on everything has no source left to be tested on. What the same recipe did at sources that
it had not seen is the next best answer, and comes from the run itself (`--leave-source-out`) or from one that is named.
It computes no metric.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from nevus.assess.evaluation.sources import SHARES
from nevus.assess.evaluation.sources_form import default_point, read_sources_of
from nevus.assess.plots.drawing import interval_text
from nevus.assess.statistics.meta_analysis import LEAST_SOURCES_TO_PREDICT, Pooled
from nevus.core.config import changed_options, config_from_json
from nevus.core.errors import RunError
from nevus.core.files import read_json
from nevus.core.runs import Run

NOT_MEASURED = "Not measured. 'nevus run --leave-source-out' measures it."

# The options that say what was trained and how; the others say what was done with it.
_NOT_OF_TRAINING = ("prepare", "split", "folds", "sources", "evaluate", "export", "stress")


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """Figures of sources left out.

    Attributes:
        found: as `sources_form.read_sources` gives it.
        differs: how the models differ from the one that the report is of, as a clause; empty if they do not.
        page: the way from the report to `sources.html`, for a link; None if it is not there.
    """

    found: dict[str, Any]
    differs: str
    page: str | None

    def at_default(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """The figures of one of `sources`, or of `pooled`, at the default operating point."""
        return default_point(self.found, figures)

    @property
    def text(self) -> str:
        """The figures as sentences."""
        found = self.found
        parts = [
            f"{one['name']} ({one['num_images']:,} images, {one['num_malignant']:,} malignant): "
            f"ROC-AUC {interval_text(one['roc_auc'])}, "
            + ", ".join(f"{name} {interval_text(self.at_default(one)[name])}" for name in SHARES)
            for one in found["sources"]
        ]
        pooled = found["pooled"]
        if len(found["sources"]) > 1:
            means = {"ROC-AUC": pooled["roc_auc"], **{name: self.at_default(pooled)[name] for name in SHARES}}
            parts.append(
                "mean of sources: " + ", ".join(f"{name} {interval_text(one.mean)}" for name, one in means.items())
            )
            parts.append("a new source, with 95 % prediction intervals: " + _new_source(means))
        differs = f" Unlike this model, {self.differs}." if self.differs else ""
        return (
            f"{'; '.join(parts)}. Decisions at {found['default_operating_point']}. Each source was tested by a model "
            "that was trained and calibrated, and whose thresholds were chosen, without it. None of these metrics "
            f"describes this model itself, which was trained on all of its sources.{differs}"
        )


def _new_source(means: Mapping[str, Pooled]) -> str:
    if all(math.isnan(one.prediction_low) for one in means.values()):
        return f"not known (at least {LEAST_SOURCES_TO_PREDICT} sources are needed)"
    return ", ".join(f"{name} {one.predicted()}" for name, one in means.items())


def source_figures(run: Run, other: Run | None = None) -> SourceFigures | None:
    """The figures of sources left out that a run's report shows.

    Args:
        run: whose report it is.
        other: a run with sources left out whose figures are shown; None for those of `run` itself.

    Returns:
        None if there are none.

    Raises:
        RunError: `other` left no source out; or a file of it is missing or damaged.
    """
    of = other or run
    if other is not None and not other.left_out:
        raise RunError(
            f"{other.directory} left no source out. Expected the folder of a run that was made with --leave-source-out."
        )
    if not of.left_out or (other is None and not of.sources_json.exists()):
        return None
    page = os.path.relpath(of.sources_html.resolve(), run.directory.resolve()) if of.sources_html.exists() else None
    return SourceFigures(read_sources_of(of), _differences(run, of), quote(page) if page else None)


def _differences(run: Run, other: Run) -> str:
    """How the models of another run differ from that of a run; empty for its own."""
    if other.directory.resolve() == run.directory.resolve():
        return ""
    own, of_other = (config_from_json(read_json(one.config_json, "Run 'nevus train' first.")) for one in (run, other))
    names = [change.split(" was ")[0] for change in changed_options(own, of_other, but=_NOT_OF_TRAINING)]
    parts = [f"these models have other options ({', '.join(names)})"] if names else []
    if run.recorded("dataset_fingerprint") != other.recorded("dataset_fingerprint"):
        parts.append(
            "they were trained on another dataset" if parts else "these models were trained on another dataset"
        )
    return " and ".join(parts)

"""What is read of `sources.json`: the figures of each source left out, and pooled over them, each checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nevus.assess.evaluation.sources import LINE, SHARES
from nevus.assess.sections.scores import SCORES
from nevus.assess.sections.shapes import count, estimated, flag, known, parsed, positive, text
from nevus.assess.statistics.meta_analysis import Pooled
from nevus.core.errors import RunError
from nevus.core.files import sha256_of
from nevus.core.runs import OUT_OF_SOURCE, Run
from nevus.core.versions import SOURCES_JSON, read_versioned

RUN_AGAIN = "Run 'nevus run' again with --leave-source-out --resume."


def _pooled(value: Any) -> Pooled:
    """A metric over sources."""
    try:
        return Pooled.from_json(value)
    except (KeyError, TypeError, ValueError):
        raise ValueError("a pooled metric {value, low, high, prediction_low, ...}") from None


_OF_SOURCE = {
    "name": text,
    "folder": text,
    "num_copies": count,
    **dict.fromkeys(("num_images", "num_groups", "num_malignant"), count),
    "prevalence": known,
    "temperature": positive,
    **{metric.name: estimated for metric in SCORES},
    **dict.fromkeys(LINE, estimated),
    "operating_points": [{"name": text, "threshold": known, **dict.fromkeys(SHARES, estimated)}],
}
_FORM = {
    "generated": flag,
    "classes": {"names": [text], "malignant": [text]},
    "default_operating_point": text,
    "sources": [_OF_SOURCE],
    "pooled": {
        "roc_auc": _pooled,
        **dict.fromkeys(LINE, _pooled),
        "operating_points": [{"name": text, **dict.fromkeys(SHARES, _pooled)}],
    },
    "methods": {"*": text},
    "fingerprints": {"dataset": text, "predictions": {"*": text}},
    "warnings": [text],
}


def read_sources(path: Path) -> dict[str, Any]:
    """`sources.json`: each metric an Estimate, those over sources `Pooled`, NaN for what cannot be known.

    Raises:
        RunError: the file is missing, damaged or of another version, or its operating points are not the same for
            all sources.
    """
    found: dict[str, Any] = parsed(read_versioned(path, SOURCES_JSON, RUN_AGAIN), _FORM, str(path), RUN_AGAIN)
    names = [point["name"] for point in found["pooled"]["operating_points"]]
    if found["default_operating_point"] not in names:
        raise RunError(f"{path}: the default operating point is none of: {', '.join(names)}. {RUN_AGAIN}")
    if not found["sources"]:
        raise RunError(f"{path} has no source. {RUN_AGAIN}")
    if any([point["name"] for point in one["operating_points"]] != names for one in found["sources"]):
        raise RunError(f"{path}: the sources have other operating points than the means over them. {RUN_AGAIN}")
    return found


def read_sources_of(run: Run) -> dict[str, Any]:
    """The `sources.json` of a run, which must be made from the predictions that are there; errors as above."""
    found = read_sources(run.sources_json)
    predictions = run.predictions_csv(OUT_OF_SOURCE)
    if not predictions.exists() or sha256_of(predictions) != found["fingerprints"]["predictions"].get(OUT_OF_SOURCE):
        raise RunError(f"{predictions} is not the file that {run.sources_json} was made from. {RUN_AGAIN}")
    return found


def default_point(found: Mapping[str, Any], figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures at the default operating point.

    Args:
        found: from `read_sources`.
        figures: one of its `sources`, or its `pooled`.
    """
    points: list[dict[str, Any]] = figures["operating_points"]
    return next(point for point in points if point["name"] == found["default_operating_point"])

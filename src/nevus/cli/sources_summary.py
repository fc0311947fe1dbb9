"""The end of `nevus run --leave-source-out` on the terminal: each source, all pooled, and the model of all."""

from __future__ import annotations

from typing import Any

from nevus.assess.statistics.meta_analysis import Pooled
from nevus.cli.evaluation_summary import run_summary
from nevus.core.estimate import Estimate
from nevus.core.files import read_json
from nevus.core.runs import Run


def sources_summary(run: Run) -> str:
    """The figures of the sources left out, then the outcome of the model of all sources; what is left to do if any."""
    if not run.metrics_json.exists():
        trained = [name for name, one in run.left_out.items() if one.metrics_json.exists()]
        left = [name for name in run.left_out if name not in trained]
        return "\n".join(
            [
                *_of_sources(run),
                "",
                f"Left out so far: {', '.join(trained)}. "
                + (f"Still to be left out: {', '.join(left)}. " if left else "")
                + "Next: the same command with --resume and without --source.",
            ]
        )
    return "\n".join(
        [
            *_of_sources(run),
            "",
            "The model of all sources, its thresholds chosen on the sources left out:",
            run_summary(run),
        ]
    )


def _of_sources(run: Run) -> list[str]:
    result = read_json(run.sources_json, "Run it again with --resume.")
    name = result["default_operating_point"]
    rows = [_row(one["name"], one, name) for one in result["sources"]]
    pooled = [_row("mean of sources", result["pooled"], name)]
    titles = ["source left out", "images", "malignant", "ROC-AUC", "sensitivity", "specificity", "slope"]
    table = [titles, *rows, *pooled, ["a new source", "", "", *_predicted(result["pooled"], name)]]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return [
        "",
        f"Each source tested by a model trained on the others, decided at its {name} (95 % intervals; for a new "
        "source 95 % prediction intervals):",
        "",
        *(f"  {line}" for line in lines),
        *(f"  Warning: {warning}" for warning in result["warnings"]),
        "",
        str(run.sources_json),
        str(run.sources_html),
    ]


def _row(name: str, found: dict[str, Any], point_name: str) -> list[str]:
    point = _point(found, point_name)
    estimates = (found["roc_auc"], point["sensitivity"], point["specificity"], found["slope"])
    counts = [f"{found[key]:,}" if key in found else "" for key in ("num_images", "num_malignant")]
    return [name, *counts, *(str(Estimate.from_json(one)) for one in estimates)]


def _predicted(pooled: dict[str, Any], point_name: str) -> list[str]:
    point = _point(pooled, point_name)
    found = (pooled["roc_auc"], point["sensitivity"], point["specificity"], pooled["slope"])
    return [Pooled.from_json(one).predicted() for one in found]


def _point(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(point for point in found["operating_points"] if point["name"] == name)

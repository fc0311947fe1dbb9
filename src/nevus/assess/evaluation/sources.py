"""From runs that each left one source out to `sources.json`: figures of each source, and pooled over them.

Owns what is read of these runs and which of their metrics are pooled, and writes their predictions as one file. It
must not open a model or draw.

Average precision and the Brier score are given for each source and not pooled: both depend on the share of malignant
images, so that sources differ in them whatever the model does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nevus.assess.evaluation.evaluate import interval_methods
from nevus.assess.evaluation.folds import Fold, pool, read_fold
from nevus.assess.evaluation.out_of_source import SOURCE
from nevus.assess.sections.metric import Sampling
from nevus.assess.sections.scores import SCORES
from nevus.assess.statistics import meta_analysis
from nevus.core import versions
from nevus.core.estimate import Estimate
from nevus.core.files import sha256_of, write_json
from nevus.core.predictions import write_predictions
from nevus.core.runs import OUT_OF_SOURCE, Run

_COUNTS = ("num_images", "num_groups", "num_malignant", "prevalence")
LINE = ("intercept", "slope")
SHARES = ("sensitivity", "specificity")


def measure_sources(
    run: Run, *, default_operating_point: str, bootstrap: int, seed: int, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Reads the runs that each left one source out, and writes `predictions/out_of_source.csv` and `sources.json`.

    `out_of_source.csv` has logits already divided by the temperature of the model without the image's source and less
    the logarithms of its class weights, and a column that names the source.

    Args:
        run: of the whole; at least one of `run.left_out` is evaluated. A source that is not left out yet is named
            in a warning.
        default_operating_point: for decisions unless another is requested.
        bootstrap: number of resamples that these runs were evaluated with.
        seed: of their bootstrap.
        notes: warnings that the file is to carry, such as which sources were not left out.

    Returns:
        What `sources.json` holds, as docs/sources.md describes it; undefined metrics are NaN.

    Raises:
        RunError: one of these runs lacks a file or has a stale one.
    """
    info = run.dataset_info
    folds = [read_fold(one, name) for name, one in run.left_out.items() if one.metrics_json.exists()]
    waiting = [name for name, one in run.left_out.items() if not one.metrics_json.exists()]
    if waiting:
        notes = [*notes, f"Not left out yet: {', '.join(waiting)}."]
    write_predictions(run.predictions_csv(OUT_OF_SOURCE), pool(folds, SOURCE).undone())
    copies = run.recorded("num_copies")
    result = {
        "schema_version": versions.SOURCES_JSON,
        "generated": info.generated,
        "classes": {"names": list(info.classes.names), "malignant": list(info.classes.malignant)},
        "default_operating_point": default_operating_point,
        "sources": [_of_source(fold, run.left_out[fold.name], copies[fold.name]) for fold in folds],
        "pooled": _pooled(folds),
        "methods": {"pooled": meta_analysis.METHOD, **interval_methods(Sampling(bootstrap, seed))},
        "fingerprints": {
            "dataset": run.recorded("dataset_fingerprint"),
            "predictions": {OUT_OF_SOURCE: sha256_of(run.predictions_csv(OUT_OF_SOURCE))},
        },
        "warnings": [*notes, *_notes(folds)],
    }
    write_json(run.sources_json, result)
    return result


def _of_source(fold: Fold, run: Run, num_copies: int) -> dict[str, Any]:
    scores = fold.metrics["splits"]["test"]
    return {
        "name": fold.name,
        "folder": run.directory.name,
        "num_copies": num_copies,
        **{name: scores[name] for name in _COUNTS},
        "temperature": fold.temperature,
        **{metric.name: scores[metric.name] for metric in SCORES},
        **{name: _line(fold)[name] for name in LINE},
        "operating_points": [
            {
                "name": point["name"],
                "threshold": point["threshold"],
                **{name: point["test"][name] for name in SHARES},
            }
            for point in fold.metrics["operating_points"]
        ],
    }


def _pooled(folds: Sequence[Fold]) -> dict[str, Any]:
    areas = [Estimate.from_json(fold.metrics["splits"]["test"]["roc_auc"]) for fold in folds]
    return {
        "roc_auc": meta_analysis.pool_shares(areas).to_json(),
        **{
            name: meta_analysis.pool_numbers([Estimate.from_json(_line(fold)[name]) for fold in folds]).to_json()
            for name in LINE
        },
        "operating_points": [
            {
                "name": point["name"],
                **{
                    name: meta_analysis.pool_shares(
                        [Estimate.from_json(fold.at(point["name"])["test"][name]) for fold in folds]
                    ).to_json()
                    for name in SHARES
                },
            }
            for point in folds[0].metrics["operating_points"]
        ],
    }


def _line(fold: Fold) -> Mapping[str, Any]:
    """The calibration line of the risks after the temperature."""
    line: Mapping[str, Any] = fold.metrics["calibration"]["test"]["after"]
    return line


def _notes(folds: Sequence[Fold]) -> list[str]:
    if len(folds) >= meta_analysis.LEAST_SOURCES_TO_PREDICT:
        return []
    sources = "1 source was" if len(folds) == 1 else f"{len(folds)} sources were"
    return [
        f"{sources} left out. A prediction interval for a new source needs "
        f"{meta_analysis.LEAST_SOURCES_TO_PREDICT} or more, so there is none."
    ]

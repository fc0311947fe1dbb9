"""The stress test of a model: how its answers change under changes that leave the diagnosis as it is.

Works on risks alone, those of images as they are and after each change of `core.image_changes`, so it knows no
model file and no pixels.

References:
    [1] Young et al., Stress testing reveals gaps in clinic readiness of image-based diagnostic artificial intelligence
        models, npj Digital Medicine 4, 10 (2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nevus.assess.statistics.delong import roc_auc
from nevus.assess.statistics.uncertainty import Groups, group_codes, mean, proportion, share
from nevus.core.estimate import Estimate
from nevus.core.image_changes import CHANGES

SCHEMA_VERSION = 1

# The largest mean share, over all changes, of decisions that may flip; that of each change is in its row.
MOST_FLIPPED_IN_THE_MEAN = 0.04

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def stress(
    risk: Floats, changed: Mapping[str, Floats], is_malignant: Bools, groups: Sequence[str], threshold: float
) -> dict[str, Any]:
    """Compares the answers for changed images with those for the images as they are.

    Args:
        risk: float64 [N] in [0, 1], of the images as they are.
        changed: float64 [N] by the name of each change in `CHANGES`.
        is_malignant: bool [N], the truth, with both kinds.
        groups: of length N; images of one lesion share a value.
        threshold: the least risk that is called malignant.

    Returns:
        For `stress.json`: every metric an Estimate's JSON, the changes by the share of decisions that flip, the most
        first.
    """
    codes = group_codes(groups)
    called = risk >= threshold
    rows: list[dict[str, Any]] = []
    flips = []
    for change in CHANGES:
        moved = changed[change.name]
        flipped = (moved >= threshold) != called
        flips.append(flipped)
        rows.append(
            {
                "name": change.name,
                "title": change.title,
                "words": change.words,
                **_discrimination(moved, is_malignant, codes, threshold),
                "flipped": proportion(flipped, codes).to_json(),
                "mean_shift": mean(moved - risk, codes).to_json(),
                "most_flipped": change.most_flipped,
                "within_limit": bool(flipped.mean() <= change.most_flipped),
            }
        )
    rows.sort(key=lambda row: -row["flipped"]["value"])
    all_flips = np.stack(flips)
    mean_flipped = mean(all_flips.mean(axis=0), codes)
    return {
        "schema_version": SCHEMA_VERSION,
        "num_images": len(risk),
        "num_malignant": int(is_malignant.sum()),
        "num_groups": len(np.unique(codes)),
        "threshold": threshold,
        "unchanged": _discrimination(risk, is_malignant, codes, threshold),
        "changes": rows,
        "mean": {
            **{name: _mean_of(rows, name) for name in ("roc_auc", "sensitivity", "specificity")},
            "flipped": mean_flipped.to_json(),
            "most_flipped": MOST_FLIPPED_IN_THE_MEAN,
            "within_limit": mean_flipped.value <= MOST_FLIPPED_IN_THE_MEAN,
        },
        "flipped_by_any": proportion(np.asarray(all_flips.any(axis=0)), codes).to_json(),
    }


def _discrimination(risk: Floats, is_malignant: Bools, groups: Groups, threshold: float) -> dict[str, dict[str, float]]:
    called = risk >= threshold
    return {
        "roc_auc": roc_auc(is_malignant, risk, groups).to_json(),
        "sensitivity": share(is_malignant, called, groups).to_json(),
        "specificity": share(~is_malignant, ~called, groups).to_json(),
    }


def _mean_of(rows: Sequence[Mapping[str, Any]], metric: str) -> float:
    return float(np.mean([row[metric]["value"] for row in rows]))


def format_stress(result: Mapping[str, Any]) -> str:
    """The outcome as a table for a terminal."""
    unchanged, average = result["unchanged"], result["mean"]
    lines = [
        f"{result['num_images']:,} images, {result['num_malignant']:,} of them malignant; malignant from a risk of "
        f"{result['threshold']:.4f} on. Decisions that flip, with 95 % intervals:",
        "",
        f"  {'':<38} {'decisions that flip':<30} {'ROC-AUC':>7} {'sens.':>7} {'spec.':>7} {'risk':>7}",
        f"  {'as they are':<38} {'':<30} {_values(unchanged)}",
    ]
    for row in result["changes"]:
        flipped = f"{_percent(row['flipped'])}{'' if row['within_limit'] else '  over the limit'}"
        lines.append(f"  {row['title']:<38} {flipped:<30} {_values(row)} {row['mean_shift']['value']:>+7.3f}")
    values = " ".join(f"{average[name]:>7.3f}" for name in ("roc_auc", "sensitivity", "specificity"))
    flipped = f"{_percent(average['flipped'])}{'' if average['within_limit'] else '  over the limit'}"
    lines.append(f"  {'mean over the table':<38} {flipped:<30} {values}")
    return "\n".join(["\n".join(lines), "", verdict(result)])


def verdict(result: Mapping[str, Any]) -> str:
    """Whether the model keeps the limits, in two sentences."""
    over = [row["title"] for row in result["changes"] if not row["within_limit"]]
    kept = len(result["changes"]) - len(over)
    mean_flipped = 100 * result["mean"]["flipped"]["value"]
    return (
        f"{kept} of {len(result['changes'])} changes are within their limits{' (over them: ' if over else ''}"
        f"{'; '.join(over)}{')' if over else ''}. The mean, {mean_flipped:.1f} %, is "
        f"{'within' if result['mean']['within_limit'] else 'over'} its limit of "
        f"{100 * result['mean']['most_flipped']:g} %."
    )


def _values(row: Mapping[str, Any]) -> str:
    return " ".join(f"{row[name]['value']:>7.3f}" for name in ("roc_auc", "sensitivity", "specificity"))


def _percent(found: Mapping[str, Any]) -> str:
    estimate = Estimate.from_json(dict(found))
    ends = f" ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})" if estimate.low == estimate.low else ""
    return f"{100 * estimate.value:.1f} %{ends}"

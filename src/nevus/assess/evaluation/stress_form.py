"""The form of `stress.json` as the pages rely on it, and how it is read of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nevus.assess.probing.stress import SCHEMA_VERSION, verdict
from nevus.assess.sections.shapes import count, estimated, flag, number, parsed, text
from nevus.core.files import read_json, sha256_of
from nevus.core.runs import Run
from nevus.core.versions import upgraded

_STRESS_AGAIN = "Run 'nevus stress' again."
_METRICS = dict.fromkeys(("roc_auc", "sensitivity", "specificity"), estimated)
_SHAPE = {
    "model": text,
    "model_sha256": text,
    "operating_point": text,
    "threshold": number,
    "image_size": count,
    "data": text,
    "dataset_fingerprint": text,
    "generated": flag,
    "split": text,
    "seed": count,
    "notes": [text],
    "pictured": [text],
    **dict.fromkeys(("num_available", "num_images", "num_malignant", "num_groups"), count),
    "unchanged": _METRICS,
    "changes": [
        {
            "name": text,
            "title": text,
            "words": text,
            **_METRICS,
            "flipped": estimated,
            "mean_shift": estimated,
            "most_flipped": number,
            "within_limit": flag,
        }
    ],
    "mean": {
        **dict.fromkeys(("roc_auc", "sensitivity", "specificity", "most_flipped"), number),
        "flipped": estimated,
        "within_limit": flag,
    },
    "flipped_by_any": estimated,
}


def read(result: Mapping[str, Any], where: str = "the stress test") -> dict[str, Any]:
    """What `stress.json` holds, each metric an Estimate, NaN for what is undefined, and its verdict in words.

    Args:
        result: as JSON.
        where: names it in errors.

    Raises:
        RunError: a field is missing or wrong, or it is of another version.
    """
    data = upgraded(result, SCHEMA_VERSION, where, _STRESS_AGAIN)
    found: dict[str, Any] = parsed(data, _SHAPE, where, _STRESS_AGAIN)
    return {**found, "verdict": verdict(data)}


def read_stress(run: Run) -> dict[str, Any] | None:
    """The stress test of a run's model; None if there was none. `is_current`: of the file that is there now.

    Raises:
        RunError: the file is damaged.
    """
    if not run.stress_json.exists():
        return None
    found = read(read_json(run.stress_json, _STRESS_AGAIN), str(run.stress_json))
    is_current = run.model_onnx.exists() and sha256_of(run.model_onnx) == found["model_sha256"]
    return {**found, "is_current": is_current}

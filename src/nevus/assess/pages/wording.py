"""Values as a person would write them, and the facts of a run as text.

Owns the words in which the report, the model card and the checklists speak of the
same things. It reads nothing from disk and computes no figure.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

from nevus.assess.plots.drawing import interval_text
from nevus.core.dataset import DatasetInfo
from nevus.core.estimate import value_text
from nevus.core.modelfile import licence_of_weights
from nevus.core.split_names import WITHOUT_LEAKS

NOT_RECORDED = "not recorded"


def small_risk(value: float) -> str:
    """A risk with three decimals; never 0 or 1 when it is not."""
    if 0 < value < 0.0005:
        return "below 0.001"
    return "above 0.999" if 0.9995 <= value < 1 else value_text(value)


def of_hundred(share: float) -> str:
    """A share of [0, 1] as a count of a hundred; never rounded to all or none when it is not."""
    if math.isnan(share):
        return "an unknown number"
    if 0 < share <= 0.005:
        return "fewer than 1"
    if 0.995 <= share < 1:
        return "more than 99"
    return f"{100 * share:.0f}"


def filled_squares(share: float) -> int:
    """How many of a hundred squares stand for a share of [0, 1]; all or none only if it is."""
    return round(100 * share) if share in (0, 1) else min(99, max(1, round(100 * share)))


def plain(value: Any) -> str:
    """A value of a JSON file as a person would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{name.replace('_', ' ')} {plain(item)}" for name, item in value.items()) or "none"
    return str(value)


def facts_of(
    record: Mapping[str, Any],
    info: DatasetInfo,
    metrics: Mapping[str, Any],
    config: Mapping[str, Any],
    licences: str,
) -> dict[str, str]:
    """The facts of a run that the model card and the checklists name.

    Args:
        record: `run.json`, as `results.read_record` gives it.
        info: of the dataset.
        metrics: as `results.read_metrics` gives it.
        config: `config.json`.
        licences: as `results.dataset_licences` gives them.
    """
    training = record["training"] or {}
    recipe = training.get("recipe")
    hyperparameters = (
        {name: value for name, value in recipe.items() if name != "name"} if isinstance(recipe, dict) else {}
    )
    splits = metrics["splits"]
    test = splits[WITHOUT_LEAKS] or splits["test"]
    columns = dict.fromkeys(row["column"] for row in (metrics["subgroups"] or {"test": []})["test"])
    environment = record["environment"]
    packages = environment["packages"]
    minutes = training.get("minutes")
    return {
        "task": (
            "Gives the risk from 0 to 1 that a lesion is malignant, from a dermoscopic image"
            f"{' and, if they are given, ' + plain(config['metadata']) if config.get('metadata') else ''}. "
            f"Classes: {', '.join(info.classes.names)}; of these malignant: {', '.join(info.classes.malignant)}."
        ),
        "network": plain(training.get("network", NOT_RECORDED)),
        "parameters": plain(training.get("num_parameters", NOT_RECORDED)),
        "recipe": plain(
            recipe.get("name", NOT_RECORDED) if isinstance(recipe, dict) else config.get("recipe", NOT_RECORDED)
        ),
        "hyperparameters": plain(hyperparameters) if hyperparameters else NOT_RECORDED,
        "class_weights": plain(training.get("class_weights", NOT_RECORDED)),
        "speed": (
            f"{plain(training.get('epochs_run', NOT_RECORDED))} epochs, "
            f"best: {plain(training.get('best_epoch', NOT_RECORDED))}; "
            f"images a second: {plain(training.get('images_per_second', NOT_RECORDED))}"
        ),
        "hours": f"{minutes / 60:.2g}" if isinstance(minutes, int | float) else NOT_RECORDED,
        "classes": ", ".join(info.classes.names),
        "malignant": ", ".join(info.classes.malignant),
        "sources": ", ".join(f"{source.name} ({source.kind})" for source in info.sources),
        "source_names": "\n".join(" ".join(source.name.split()) for source in info.sources),
        "licences": licences,
        "licence": licence_of_weights(config.get("licence"), licences, record["pretrained"]),
        "pretrained": _pretrained(record["pretrained"]),
        "objective": _objective(config),
        "generated": plain(info.generated),
        "images": plain(info.num_images),
        "rejected": plain(info.num_rejected),
        "image_size": str(info.image_size),
        "split_counts": ", ".join(
            f"{split} {sum(counts.values()):,}" for split, counts in record["split_counts"].items()
        ),
        "test_images": plain(test["num_images"]),
        "test_malignant": plain(test["num_malignant"]),
        "test_groups": plain(test["num_groups"]),
        "roc_auc": interval_text(test["roc_auc"]),
        "num_points": plain(len(metrics["operating_points"])),
        "factors": f"Metadata columns: {', '.join(columns)}" if columns else "No metadata column makes subgroups.",
        "fingerprint": record["dataset_fingerprint"],
        "version": packages.get("nevus", NOT_RECORDED),
        "packages": ", ".join(f"{name} {version}" for name, version in packages.items()),
        "machine": (
            f"{environment['platform']}, {plain(environment['processors'] or NOT_RECORDED)} processors, "
            f"Python {environment['python']}"
        ),
        "command": command_of(record),
    }


def _pretrained(described: Mapping[str, Any] | None) -> str:
    if not described:
        return "nothing: it began with random weights"
    fingerprint = f", SHA-256 {described['sha256']}" if described["sha256"] else ""
    return f"weights {described['weights']}{fingerprint}; their licence: {described['licence']}"


def _objective(config: Mapping[str, Any]) -> str:
    name = {"focal": "focal loss"}.get(config.get("loss", ""), "cross-entropy")
    smoothing = config.get("label_smoothing")
    return f"{name} with {plain(smoothing)} of each label spread over all classes" if smoothing else name


def command_of(record: Mapping[str, Any]) -> str:
    """The command that made a run, as one would type it."""
    return shlex.join(record["command"] or []) or NOT_RECORDED

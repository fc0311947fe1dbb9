"""The facts of a run as text, by the names under which the model card and the checklists ask for them.

It reads nothing from disk and computes no metric.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from nevus.assess.pages.source_facts import NOT_MEASURED, SourceFigures
from nevus.assess.pages.wording import percent_text, plain
from nevus.assess.plots.drawing import interval_text
from nevus.core.dataset import DatasetInfo
from nevus.core.modelfile import licence_of_weights
from nevus.core.split_names import WITHOUT_LEAKS

NOT_RECORDED = "not recorded"

# The changes of the stress test that the card names.
_WORST_CHANGES = 5


def facts_of(
    record: Mapping[str, Any],
    info: DatasetInfo,
    metrics: Mapping[str, Any],
    config: Mapping[str, Any],
    licences: str,
    stress: Mapping[str, Any] | None = None,
    sources: SourceFigures | None = None,
) -> dict[str, str]:
    """The facts of a run that the model card and the checklists name.

    Args:
        record: `run.json`, as `results.read_record` gives it.
        info: of the dataset.
        metrics: as `results.read_metrics` gives it.
        config: `config.json`.
        licences: as `results.dataset_licences` gives them.
        stress: as `stress_form.read_stress` gives it.
        sources: as `source_facts.source_figures` gives them.
    """
    return {
        **_of_purpose(record, info, config, licences),
        **_of_data(record, info),
        **_of_training(record["training"] or {}, config),
        **_of_evaluation(metrics),
        **_of_environment(record),
        "stress": _of_stress(stress),
        "out_of_source": sources.text if sources else NOT_MEASURED,
    }


def _of_purpose(
    record: Mapping[str, Any], info: DatasetInfo, config: Mapping[str, Any], licences: str
) -> dict[str, str]:
    clinical = f" and, if known, {plain(config['metadata'])}" if config.get("metadata") else ""
    names, malignant = ", ".join(info.classes.names), ", ".join(info.classes.malignant)
    return {
        "task": (
            f"Estimates the risk, from 0 to 1, that a lesion is malignant, from a dermoscopic image{clinical}. "
            f"Classes: {names}. Malignant classes: {malignant}."
        ),
        "clinical": clinical,
        "classes": names,
        "malignant": malignant,
        "licences": licences,
        "licence": licence_of_weights(config.get("licence"), licences, record["pretrained"]),
        "pretrained": _pretrained(record["pretrained"]),
    }


def _of_data(record: Mapping[str, Any], info: DatasetInfo) -> dict[str, str]:
    counts = {split: sum(by_class.values()) for split, by_class in record["split_counts"].items()}
    return {
        "sources": ", ".join(f"{source.name} ({source.kind})" for source in info.sources),
        "source_names": "\n".join(" ".join(source.name.split()) for source in info.sources),
        "generated": plain(info.generated),
        "images": plain(info.num_images),
        "rejected": plain(info.num_rejected),
        "image_size": str(info.image_size),
        "split_counts": ", ".join(f"{split} {count:,}" for split, count in counts.items()),
        "fingerprint": record["dataset_fingerprint"],
    }


def _of_training(training: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    recipe = training.get("recipe")
    named = recipe if isinstance(recipe, dict) else {"name": config.get("recipe", NOT_RECORDED)}
    hyperparameters = {name: value for name, value in named.items() if name != "name"}
    if teacher := training.get("teacher"):
        hyperparameters["teacher"] = f"the network of {teacher['run']}, SHA-256 {teacher['sha256']}"
    if source_weights := training.get("source_weights"):
        hyperparameters["weights by source and class"] = source_weights
    minutes = training.get("minutes")

    def recorded(name: str) -> str:
        return plain(training.get(name, NOT_RECORDED))

    return {
        "network": recorded("network"),
        "parameters": recorded("num_parameters"),
        "recipe": plain(named.get("name", NOT_RECORDED)),
        "hyperparameters": plain(hyperparameters) if hyperparameters else NOT_RECORDED,
        "class_weights": recorded("class_weights"),
        "objective": _objective(config),
        "speed": (
            f"{recorded('epochs_run')} epochs, best: {recorded('best_epoch')}; "
            f"images per second: {recorded('images_per_second')}"
        ),
        "hours": f"{minutes / 60:.2g}" if isinstance(minutes, int | float) else NOT_RECORDED,
    }


def _of_evaluation(metrics: Mapping[str, Any]) -> dict[str, str]:
    test = metrics["splits"][WITHOUT_LEAKS] or metrics["splits"]["test"]
    columns = dict.fromkeys(row["column"] for row in (metrics["subgroups"] or {"test": []})["test"])
    return {
        "test_images": plain(test["num_images"]),
        "test_malignant": plain(test["num_malignant"]),
        "test_groups": plain(test["num_groups"]),
        "roc_auc": interval_text(test["roc_auc"]),
        "num_points": plain(len(metrics["operating_points"])),
        "factors": f"Metadata columns: {', '.join(columns)}" if columns else "No metadata column has subgroups.",
    }


def _of_stress(stress: Mapping[str, Any] | None) -> str:
    """The mean of the flips, and the changes that flip the most decisions."""
    if stress is None or not stress["is_current"]:
        return "Not tested. 'nevus stress' tests it."
    worst = "; ".join(f"{row['title']} {percent_text(row['flipped'])}" for row in stress["changes"][:_WORST_CHANGES])
    return (
        f"{stress['num_images']:,} images of {stress['data']} were changed in {len(stress['changes'])} ways that do "
        f"not affect the diagnosis. On average {percent_text(stress['mean']['flipped'])} of the decisions at "
        f"{stress['operating_point']} flip. The changes that flip the most: {worst}. {stress['verdict']}"
    )


def _of_environment(record: Mapping[str, Any]) -> dict[str, str]:
    environment = record["environment"]
    packages = environment["packages"]
    return {
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
        return "no other model; it was trained from random weights"
    fingerprint = f", SHA-256 {described['sha256']}" if described["sha256"] else ""
    return f"weights {described['weights']}{fingerprint}; their licence: {described['licence']}"


def _objective(config: Mapping[str, Any]) -> str:
    name = {"focal": "focal loss"}.get(config.get("loss", ""), "cross-entropy")
    smoothing = config.get("label_smoothing")
    return f"{name} with label smoothing {plain(smoothing)}" if smoothing else name


def command_of(record: Mapping[str, Any]) -> str:
    """The command that made a run, as one would type it."""
    return shlex.join(record["command"] or []) or NOT_RECORDED

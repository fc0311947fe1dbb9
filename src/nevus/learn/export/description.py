"""What a model file says of itself, put together from the files of a run or of a cross-validation.

Owns which record each field of a `ModelSpec` comes from. It makes no graph and measures nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import keras

from nevus.core.chosen import read_chosen
from nevus.core.clinical import ClinicalHead, Variable
from nevus.core.config import config_from_json
from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.familiarity import FamiliarityLimit
from nevus.core.files import read_json
from nevus.core.manifest import name_licences
from nevus.core.modelfile import ModelSpec, licence_of_weights
from nevus.core.runs import Run
from nevus.core.split_names import WITHOUT_LEAKS

EVALUATE_FIRST = "Run 'nevus evaluate' first."
RUN_AGAIN = "Run the cross-validation again with --resume."


def describe_network(
    run: Run, dataset: Dataset, metrics: dict[str, Any], model: keras.Model, head: ClinicalHead | None
) -> ModelSpec:
    """The description of a run's network, without golden answers.

    Args:
        run: trained and evaluated.
        dataset: the one that the run was trained on.
        metrics: the run's `metrics.json`.
        model: the trained network.
        head: what clinical values add to its logits; None if it was trained on pixels alone.

    Raises:
        RunError: a file of the run is missing, or lacks a field.
    """
    config = config_from_json(read_json(run.config_json, "Run 'nevus train' first."))
    record = run.record
    try:
        return _describe(
            run,
            EVALUATE_FIRST,
            network=str(record["training"]["network"]),
            num_parameters=model.count_params() + (head.weights.size if head else 0),
            test_metrics=figures_of_test(metrics),
            trained_on=_describe_images(run, record["split_counts"]["train"], "training images"),
            origin={
                "split_counts": record["split_counts"],
                "pretrained": record.get("pretrained"),
                "training": record["training"],
            },
            config=config.to_json(),
            licence=licence_of_weights(
                config.licence, name_licences(dataset.rows_of("train")), record.get("pretrained")
            ),
            clinical=head.variables if head else (),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise RunError(
            f"{run.directory}: run.json or metrics.json lacks a field or holds a wrong one "
            f"({type(problem).__name__}: {problem}). Run 'nevus evaluate' again."
        ) from None


def describe_ensemble(run: Run, validation: dict[str, Any], members: list[ModelSpec]) -> ModelSpec:
    """The description of the ensemble of a cross-validation, without golden answers.

    Args:
        run: of the cross-validation, evaluated.
        validation: its `cross_validation.json`.
        members: the descriptions of the folds' model files.

    Raises:
        RunError: a file of the run is missing.
    """
    counts: Counter[str] = Counter()
    for fold in run.folds:
        counts.update(fold.record["split_counts"]["test"])
    by_class = {name: counts[name] for name in run.dataset_info.classes.names}
    ensemble, networks = validation["ensemble"], " and ".join(dict.fromkeys(member.network for member in members))
    return _describe(
        run,
        RUN_AGAIN,
        network=f"ensemble of {len(members)} {networks}",
        num_parameters=sum(member.num_parameters for member in members),
        test_metrics=figures_of_test(ensemble) if "test" in ensemble["splits"] else {},
        trained_on=_describe_images(run, by_class, "images")
        + f" in {len(members)} folds; each network left one fold out",
        origin={
            "temperatures": [member.temperature for member in members],
            "class_weights": [dict(member.class_weights) for member in members],
            "folds": [member.provenance for member in members],
            "out_of_fold": validation["out_of_fold"],
            "over_folds": validation["over_folds"],
        },
        config=read_json(run.config_json, RUN_AGAIN),
        licence=members[0].licence,
        familiarity=_limit_of_ensemble(members),
    )


def _limit_of_ensemble(members: list[ModelSpec]) -> FamiliarityLimit | None:
    """That of the mean of the folds' shares; None unless every fold tells its own.

    Each share is of its fold's validation images. Their mean is as low for fewer images than each by itself is.
    """
    limits = [member.familiarity for member in members if member.familiarity]
    if len(limits) < len(members):
        return None
    images, groups = (sum(getattr(limit, name) for limit in limits) for name in ("num_images", "num_groups"))
    return replace(limits[0], num_images=images, num_groups=groups)


def _describe(
    run: Run,
    again: str,
    *,
    network: str,
    num_parameters: int,
    test_metrics: dict[str, list[float | None]],
    trained_on: str,
    origin: dict[str, Any],
    config: dict[str, Any],
    licence: str,
    clinical: tuple[Variable, ...] = (),
    familiarity: FamiliarityLimit | None = None,
) -> ModelSpec:
    """What runs and cross-validations have in common; `origin` is the part of the provenance that they do not."""
    record, info = run.record, run.dataset_info
    chosen = read_chosen(run.operating_points_json, again)
    return ModelSpec(
        network=network,
        num_parameters=num_parameters,
        image_size=info.image_size,
        classes=info.classes,
        temperature=chosen.temperature,
        class_weights=chosen.class_weights,
        operating_points=chosen.operating_points,
        default_operating_point=chosen.default,
        triage=chosen.triage,
        assumed_prevalence=chosen.assumed_prevalence,
        test_metrics=test_metrics,
        trained_on=trained_on,
        generated=info.generated,
        provenance={
            "run": run.name,
            "started": record["started"],
            "dataset_fingerprint": record["dataset_fingerprint"],
            **origin,
            "config": config,
            "environment": record["environment"],
        },
        licence=licence,
        clinical=clinical,
        familiarity=familiarity,
    )


def figures_of_test(metrics: dict[str, Any]) -> dict[str, list[float | None]]:
    """The metrics of the test split by name: 'roc_auc', 'sensitivity at youden', 'roc_auc without leaks'.

    Of more than two classes those of all together as well: 'macro_roc_auc', 'balanced_accuracy', 'kappa'.
    """
    figures: dict[str, Any] = {}
    for split, suffix in (("test", ""), (WITHOUT_LEAKS, " without leaks")):
        if split not in metrics["splits"]:
            continue
        scores = metrics["splits"][split]
        figures |= {f"{name}{suffix}": item for name, item in scores.items() if isinstance(item, dict)}
        of_classes = metrics["classification"][split]
        if len(of_classes["classes"]) > 2:
            figures |= {f"{name}{suffix}": item for name, item in of_classes.items() if isinstance(item, dict)}
        for point in metrics["operating_points"]:
            for name in ("sensitivity", "specificity"):
                figures[f"{name} at {point['name']}{suffix}"] = point[split][name]
    return {name: [item["value"], item["low"], item["high"]] for name, item in figures.items()}


def _describe_images(run: Run, counts: dict[str, int], what: str) -> str:
    sources = ", ".join(source.name for source in run.dataset_info.sources)
    by_class = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{sources}: {sum(counts.values()):,} {what} ({by_class})"

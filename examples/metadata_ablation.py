"""What do age, sex and site add to the image? HAM10000, with and without them, on the same splits by lesion.

For each seed this splits HAM10000 by lesion and trains one network twice, on pixels alone and with metadata as a
second input (docs/metadata.md). The second is measured with its metadata and without any:

    python examples/metadata_ablation.py PATH/TO/HAM10000 runs/metadata
    python examples/metadata_ablation.py PATH/TO/HAM10000 runs/metadata --table

The second command prints what is there so far as a Markdown table. Finished trainings are kept, and one that
was cut off goes on at its last epoch. Every option of `nevus train` is there.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ham10000_experiments import described, mean_difference, prepared_dataset, run_experiment, split_again, train_on

from nevus.assess.statistics import class_metrics, metrics
from nevus.core.config import Config
from nevus.core.estimate import value_text
from nevus.core.files import write_json
from nevus.core.predictions import Predictions, read_predictions
from nevus.core.runs import Run

CLINICAL = ("age", "sex", "site")
PIXELS, WITH, WITHHELD = "pixels alone", "with metadata", "trained with, none given"
FIGURES = {
    "macro_roc_auc": "macro ROC-AUC of the classes",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC-AUC, malignant or benign",
    "average_precision": "average precision, malignant",
}


def experiment(images: Path, out: Path, first: Config, seeds: range) -> None:
    """Trains what is not trained yet and measures all; what is measured is written after each training."""
    prepared = prepared_dataset(images, out / "dataset", first)
    runs: list[dict[str, Any]] = []
    for seed in seeds:
        dataset = split_again(prepared, out / f"split-{seed}", replace(first, seed=seed))
        for how, names in ((PIXELS, ()), (WITH, first.metadata or CLINICAL)):
            config = replace(first, seed=seed, metadata=names)
            run = Run(out / f"{how.replace(' ', '-')}-{seed}")
            train_on(dataset, run, config)
            runs += [{"seed": seed, "how": name, **figures} for name, figures in measure(run, how).items()]
            results = {"num_images": len(prepared.rows), "config": first.to_json(), "runs": runs}
            write_json(out / "results.json", results)
            print(", ".join(f"{name} {value}" for name, value in runs[-1].items()), flush=True)


def measure(run: Run, how: str) -> dict[str, dict[str, float]]:
    """The figures of a run's test images; those of one with metadata as they are, and as though none were known."""
    test = read_predictions(run.predictions_csv("test"), run.dataset_info.classes)
    if how == PIXELS:
        return {PIXELS: figures(test)}
    return {WITHHELD: figures(without_clinical(run, test)), WITH: figures(test)}


def without_clinical(run: Run, test: Predictions) -> Predictions:
    """What the model would predict from the pixels alone: the clinical values add to the logits, and are subtracted."""
    from nevus.core.clinical import values_of_cells
    from nevus.learn.networks.clinical_head import read_head

    head = read_head(run)
    assert head is not None
    values = values_of_cells(head.variables, test.columns, len(test.image_ids))
    return replace(test, logits=test.logits - head.logits(values) + head.logits(np.full_like(values, np.nan)))


def figures(test: Predictions) -> dict[str, float]:
    probabilities = test.probabilities()
    num_classes = len(test.classes.names)
    areas = [metrics.roc_auc(test.labels == index, probabilities[:, index]) for index in range(num_classes)]
    named = class_metrics.most_probable(probabilities)
    return {
        "macro_roc_auc": float(np.mean(areas)),
        "balanced_accuracy": metrics.balanced_accuracy(test.labels, named),
        "roc_auc": metrics.roc_auc(test.is_malignant, test.risk()),
        "average_precision": metrics.average_precision(test.is_malignant, test.risk()),
    }


def markdown(results: dict[str, Any]) -> str:
    """The results as a Markdown table: means over the seeds, and the difference from pixels alone, seed by seed."""
    runs, others = results["runs"], (WITHHELD, WITH)
    of_seed = {
        how: {run["seed"]: run for run in runs if run["how"] == how and run["macro_roc_auc"] is not None}
        for how in (PIXELS, *others)
    }
    seeds = sorted(set.intersection(*(set(found) for found in of_seed.values())))
    lines = [
        f"| | {PIXELS} | {WITHHELD} | difference (95 % interval) | {WITH} | difference (95 % interval) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, title in FIGURES.items():
        values = {how: np.array([found[seed][name] for seed in seeds]) for how, found in of_seed.items()}
        cells = [f"{title}", f"{values[PIXELS].mean():.3f}" if seeds else "-"]
        for how in others:
            cells += [f"{values[how].mean():.3f}" if seeds else "-", difference(values[how] - values[PIXELS])]
        lines.append(f"| {' | '.join(cells)} |")
    names = ", ".join(results["config"]["metadata"] or CLINICAL)
    return "\n".join([*lines, "", described(results, len(seeds), f"metadata {names}")])


def difference(gaps: np.ndarray) -> str:
    """The mean of paired differences as a cell: with its interval if it has one."""
    found = mean_difference(gaps)
    if math.isnan(found.value):
        return "-"
    return found.text("+") if not math.isnan(found.low) else value_text(found.value, "+")


if __name__ == "__main__":
    run_experiment(__doc__.splitlines()[0], experiment, markdown)

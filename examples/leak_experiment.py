"""What does a leak inflate? HAM10000 split at random against split by lesion, same network, several seeds.

HAM10000 holds up to six photographs of one lesion. Split at random, photographs of one lesion are in
training and test at once. For each seed this trains the same network on both kinds of split:

    python examples/leak_experiment.py PATH/TO/HAM10000 runs/leak
    python examples/leak_experiment.py PATH/TO/HAM10000 runs/leak --table

The second command prints what is there so far as a Markdown table. Finished trainings are kept, and one that
was cut off goes on at its last epoch. Every option of `nevus train` is there; docs/leak-experiment.md has the result.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ham10000_experiments import described, mean_difference, prepared_dataset, run_experiment, split_again, train_on
from sklearn.metrics import recall_score

from nevus.assess.statistics import metrics
from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.files import write_json
from nevus.core.predictions import read_predictions
from nevus.core.runs import Run

BY_LESION, AT_RANDOM = "by lesion", "at random"
SPLITS = (BY_LESION, AT_RANDOM)
FIGURES = {
    "roc_auc": "ROC-AUC, malignant or benign",
    "balanced_accuracy": "balanced accuracy of all classes",
    "roc_auc_of_repeated": "ROC-AUC, lesions photographed more than once",
    "roc_auc_of_single": "ROC-AUC, lesions photographed once",
    "balanced_accuracy_of_repeated": "balanced accuracy, lesions photographed more than once",
    "balanced_accuracy_of_single": "balanced accuracy, lesions photographed once",
    "share_leaked": "share of test images whose lesion was trained on",
}


def experiment(images: Path, out: Path, first: Config, seeds: range) -> None:
    """Trains what is not trained yet and measures all; what is measured is written after each training."""
    prepared = prepared_dataset(images, out / "dataset", first)
    runs: list[dict[str, Any]] = []
    for seed in seeds:
        for how in SPLITS:
            config = replace(first, seed=seed)
            run = Run(out / f"{how.replace(' ', '-')}-{seed}")
            train_on(split_again(prepared, run.directory / "dataset", config, by_lesion=how == BY_LESION), run, config)
            runs.append({"seed": seed, "split": how, **measure(prepared, run)})
            write_json(out / "results.json", summary(prepared, first, runs))
            print(", ".join(f"{name} {value}" for name, value in runs[-1].items()), flush=True)


def measure(prepared: Dataset, run: Run) -> dict[str, float]:
    """The figures of a run's test images: all, those of lesions photographed more than once, and of the others.

    Only lesions photographed more than once can leak, and they are the harder ones, so each kind is compared with
    its own kind.
    """
    group_of = {row.image_id: row.group for row in prepared.rows}
    num_photographs = Counter(group_of.values())
    trained = {group_of[row.image_id] for row in run.dataset.rows if row.split == "train"}
    test = read_predictions(run.predictions_csv("test"), run.dataset_info.classes)
    groups = [group_of[image_id] for image_id in test.image_ids]
    is_repeated = np.array([num_photographs[group] > 1 for group in groups])
    images = {"": np.full(len(groups), True), "_of_repeated": is_repeated, "_of_single": ~is_repeated}
    return {
        "num_images": len(groups),
        **{f"roc_auc{name}": metrics.roc_auc(test.is_malignant[of], test.risk()[of]) for name, of in images.items()},
        **{
            f"balanced_accuracy{name}": balanced_accuracy(test.labels[of], test.logits[of])
            for name, of in images.items()
        },
        "share_leaked": float(np.mean([group in trained for group in groups])),
    }


def balanced_accuracy(labels: np.ndarray, logits: np.ndarray) -> float:
    """The mean over the classes of the share that is given its class; of the classes that are there."""
    return float(recall_score(labels, logits.argmax(axis=1), labels=np.unique(labels), average="macro"))


def summary(prepared: Dataset, config: Config, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What `results.json` holds: each run, and by figure the means and the paired difference of the splits."""
    return {
        "dataset_fingerprint": prepared.fingerprint,
        "num_images": len(prepared.rows),
        "config": config.to_json(),
        "runs": runs,
        "differences": {name: paired(runs, name) for name in FIGURES},
    }


def paired(runs: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """At random less by lesion, seed by seed, with the 95 % interval of Student's t for the mean difference."""
    of_seed = {how: {run["seed"]: run[name] for run in runs if run["split"] == how} for how in SPLITS}
    seeds = sorted(set(of_seed[BY_LESION]) & set(of_seed[AT_RANDOM]))
    gaps = np.array([of_seed[AT_RANDOM][seed] - of_seed[BY_LESION][seed] for seed in seeds])
    means = {how: float(np.mean(list(values.values()))) if values else math.nan for how, values in of_seed.items()}
    return {
        **means,
        "difference": mean_difference(gaps).to_json(),
        "num_seeds": len(seeds),
    }


def markdown(results: dict[str, Any]) -> str:
    """The results as a Markdown table."""

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    lines = [f"| | {BY_LESION} | {AT_RANDOM} | inflation (95 % interval) |", "| --- | --- | --- | --- |"]
    for name, title in FIGURES.items():
        row = results["differences"][name]
        gap = row["difference"]
        interval = f" ({shown(gap['low'])} to {shown(gap['high'])})" if gap["low"] is not None else ""
        lines.append(
            f"| {title} | {shown(row[BY_LESION])} | {shown(row[AT_RANDOM])} | {shown(gap['value'])}{interval} |"
        )
    return "\n".join([*lines, "", described(results, results["differences"]["roc_auc"]["num_seeds"])])


if __name__ == "__main__":
    run_experiment(__doc__.splitlines()[0], experiment, markdown)

"""What does a leak inflate? HAM10000 split at random against split by lesion, same network, several seeds.

HAM10000 holds up to six photographs of one lesion. Split at random, photographs of one lesion stand in
training and test at once. For each seed this trains the same network on both kinds of split:

    python examples/leak_experiment.py PATH/TO/HAM10000 runs/leak
    python examples/leak_experiment.py PATH/TO/HAM10000 runs/leak --table

The second command prints what is there so far as a Markdown table. Finished trainings are kept, and one that
was cut off goes on at its last epoch. Every option of `nevus train` is there; docs/leak-experiment.md has the result.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import recall_score

import nevus
from nevus.assess import metrics
from nevus.cli.options import add_config_flags, config_of
from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import NevusError, RunError
from nevus.core.files import finite, link_or_copy, read_json, write_json
from nevus.core.predictions import read_predictions
from nevus.core.runs import DONE, Run

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
SEEDS = 5
IMAGE_SIZE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with HAM10000_metadata.csv and the images")
    parser.add_argument("out", type=Path, help="folder for the trainings and results.json")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many, from --seed on (default: {SEEDS})")
    parser.add_argument("--table", action="store_true", help="train nothing; print the table of results.json")
    add_config_flags(parser, "prepare", "split", "train")
    arguments = parser.parse_args()
    results_json = arguments.out / "results.json"
    try:
        if not arguments.table:
            write_json(results_json, experiment(arguments, results_json))
        print(markdown(read_json(results_json, "Run this without --table first.")))
    except NevusError as problem:
        parser.exit(1, f"{problem}\n")


def experiment(arguments: argparse.Namespace, results_json: Path) -> dict[str, Any]:
    """Trains what is not trained yet and measures all; what is measured is written after each training."""
    first = config_of(arguments, image_size=IMAGE_SIZE)
    prepared = prepared_dataset(arguments.images, arguments.out / "dataset", first)
    runs: list[dict[str, Any]] = []
    for seed in range(first.seed, first.seed + arguments.seeds):
        for how in SPLITS:
            config = replace(first, seed=seed)
            run = Run(arguments.out / f"{how.replace(' ', '-')}-{seed}")
            train_on(prepared, run, how, config)
            runs.append({"seed": seed, "split": how, **measure(prepared, run)})
            write_json(results_json, summary(prepared, first, runs))
            print(", ".join(f"{name} {value}" for name, value in runs[-1].items()), flush=True)
    return summary(prepared, first, runs)


def prepared_dataset(images: Path, directory: Path, config: Config) -> Dataset:
    """The images, decoded once, with groups: images of one lesion, and near-duplicates of one another."""
    dataset = Dataset(directory)
    if not dataset.info_json.exists():
        nevus.prepare(images, directory, config)
    if any(not row.group for row in dataset.rows):
        nevus.split(dataset, config)
    return dataset


def train_on(prepared: Dataset, run: Run, how: str, config: Config) -> None:
    """Trains and predicts, unless that is done.

    Raises:
        RunError: the folder holds a training with other options.
    """
    begun = run.run_json.exists()
    if begun and read_json(run.config_json, "Delete the folder.") != finite(config.to_json()):
        raise RunError(f"{run.directory} was trained with other options. Name another folder, or delete this one.")
    is_trained = begun and run.record["status"] == DONE
    if is_trained and run.predictions_csv("test").exists():
        return
    from nevus.learn.predict import predict
    from nevus.learn.train import train

    dataset = split_again(prepared, run.directory / "dataset", how, config)
    if not is_trained:
        train(run, dataset, config, resume=begun)
    predict(run, dataset)


def split_again(prepared: Dataset, directory: Path, how: str, config: Config) -> Dataset:
    """A dataset of the same images with a split of its own; the same one each time."""
    from nevus.data.splits import split

    dataset = Dataset(directory)
    if dataset.info_json.exists() and all(row.group for row in dataset.rows):
        return dataset
    directory.mkdir(parents=True, exist_ok=True)
    link_or_copy(prepared.pixels_npy, dataset.pixels_npy)
    rows = [replace(row, group="", split="") for row in prepared.rows]
    if how == AT_RANDOM:
        rows = [replace(row, lesion_id="", patient_id="", duplicate_group="") for row in rows]
    dataset.write_rows(rows)
    dataset.write_info(prepared.info)
    return split(dataset, val_fraction=config.val_fraction, test_fraction=config.test_fraction, seed=config.seed)


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
    low = high = math.nan
    if gaps.size > 1 and np.ptp(gaps) > 0:
        low, high = stats.ttest_1samp(gaps, 0.0).confidence_interval()
    means = {how: float(np.mean(list(values.values()))) if values else math.nan for how, values in of_seed.items()}
    return {
        **means,
        "difference": {"value": float(gaps.mean()) if gaps.size else math.nan, "low": float(low), "high": float(high)},
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
    config = results["config"]
    seeds = results["differences"]["roc_auc"]["num_seeds"]
    return "\n".join(
        [
            *lines,
            "",
            f"Means over {seeds} seed{'s' * (seeds != 1)}; network {config['model']}, "
            f"recipe {config['recipe'] or 'its own'}, "
            f"{config['image_size']} pixels, {results['num_images']:,} images.",
        ]
    )


if __name__ == "__main__":
    main()

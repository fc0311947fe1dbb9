"""What does a leak inflate? HAM10000 split at random against split by lesion, same network, several seeds.

HAM10000 holds up to six photographs of one lesion. Split at random, photographs of one lesion stand in
training and test at once. This trains the same network on both kinds of split and prints the difference:

    python examples/leak_experiment.py PATH/TO/HAM10000 runs/leak

Finished trainings are kept, so that the command goes on where it was cut off.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from nevus.assess import metrics
from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.files import write_json
from nevus.core.predictions import read_predictions
from nevus.core.runs import Run
from nevus.data.prepare import prepare
from nevus.data.splits import split
from nevus.learn.predict import predict
from nevus.learn.train import train

BY_LESION, AT_RANDOM = "by lesion", "at random"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with HAM10000_metadata.csv and the images")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    arguments = parser.parse_args()

    prepared = Dataset(arguments.out / "dataset")
    if not prepared.info_json.exists():
        prepare(arguments.images, prepared.directory, image_size=arguments.image_size)
    results = []
    for seed in range(arguments.seeds):
        config = Config(
            image_size=arguments.image_size,
            epochs=arguments.epochs,
            learning_rate=arguments.learning_rate,
            seed=seed,
        )
        for how in (BY_LESION, AT_RANDOM):
            result = {"seed": seed, "split": how, **measure(prepared, arguments.out, how, config)}
            results.append(result)
            write_json(arguments.out / "results.json", results)
            print(", ".join(f"{name} {value}" for name, value in result.items()), flush=True)
    print_table(results)


def measure(prepared: Dataset, out: Path, how: str, config: Config) -> dict[str, float]:
    """Trains on one split and scores its test images: all of them, and those whose lesion was not trained on."""
    run = Run(out / f"{how.replace(' ', '-')}-{config.seed}")
    if not run.predictions_csv("test").exists():
        run.clear()
        train(run, split_again(prepared, run.directory / "dataset", how, config), config)
        predict(run, run.dataset)
    lesion_of = {row.image_id: row.lesion_id for row in prepared.rows}
    trained_lesions = {lesion_of[row.image_id] for row in run.dataset.rows if row.split == "train"}
    test = read_predictions(run.predictions_csv("test"), run.dataset_info.classes)
    is_new = np.array([lesion_of[image_id] not in trained_lesions for image_id in test.image_ids])
    return {
        "roc_auc": metrics.roc_auc(test.is_malignant, test.risk()),
        "roc_auc_of_new_lesions": metrics.roc_auc(test.is_malignant[is_new], test.risk()[is_new]),
        "share_leaked": float(1 - is_new.mean()),
    }


def split_again(prepared: Dataset, directory: Path, how: str, config: Config) -> Dataset:
    """A dataset of the same images with a split of its own."""
    dataset = Dataset(directory)
    directory.mkdir(parents=True, exist_ok=True)
    dataset.pixels_npy.unlink(missing_ok=True)
    os.link(prepared.pixels_npy, dataset.pixels_npy)
    rows = prepared.rows
    if how == AT_RANDOM:
        rows = [replace(row, lesion_id="", duplicate_group="") for row in rows]
    dataset.write_rows(rows)
    dataset.write_info(prepared.info)
    return split(dataset, val_fraction=config.val_fraction, test_fraction=config.test_fraction, seed=config.seed)


def print_table(results: list[dict[str, float]]) -> None:
    """Means over the seeds, and the difference between the splits with its 95 % interval (Student, unpaired)."""
    by_split = {how: [result for result in results if result["split"] == how] for how in (BY_LESION, AT_RANDOM)}
    for how, found in by_split.items():
        for name in ("roc_auc", "roc_auc_of_new_lesions", "share_leaked"):
            values = np.array([result[name] for result in found])
            print(f"{how:<10} {name:<24} mean {values.mean():.4f}  sd {values.std(ddof=1):.4f}")
    first, second = ([result["roc_auc"] for result in by_split[how]] for how in (AT_RANDOM, BY_LESION))
    interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    print(f"inflation {np.mean(first) - np.mean(second):.4f} ({interval.low:.4f} to {interval.high:.4f})")


if __name__ == "__main__":
    main()

"""What the experiments on HAM10000 share: their command line, the images decoded once, splits, trainings that go on.

Each trains several networks for each of several seeds, in folders of their own, and compares them seed by seed.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import nevus
from nevus.cli.options import add_config_flags, config_of
from nevus.core.config import Config, changed_options, config_from_json
from nevus.core.dataset import Dataset
from nevus.core.errors import NevusError, RunError
from nevus.core.estimate import Estimate
from nevus.core.files import link_or_copy, read_json
from nevus.core.runs import DONE, Run

SEEDS = 5
IMAGE_SIZE = 64

Results = dict[str, Any]


def run_experiment(
    description: str,
    experiment: Callable[[Path, Path, Config, range], object],
    markdown: Callable[[Results], str],
) -> None:
    """The command: trains and measures what is missing, and prints the table; with `--table` the table alone.

    Args:
        description: for the help.
        experiment: takes the images, the folder for the trainings, in which it leaves `results.json`, the
            configuration and the seeds.
        markdown: what results.json holds, as a table.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("images", type=Path, help="folder with HAM10000_metadata.csv and the images")
    parser.add_argument("out", type=Path, help="folder for the trainings and results.json")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many, from --seed on (default: {SEEDS})")
    parser.add_argument("--table", action="store_true", help="train nothing; print the table of results.json")
    add_config_flags(parser, "prepare", "split", "train")
    arguments = parser.parse_args()
    try:
        if not arguments.table:
            config = config_of(arguments, image_size=IMAGE_SIZE)
            seeds = range(config.seed, config.seed + arguments.seeds)
            experiment(arguments.images, arguments.out, config, seeds)
        print(markdown(read_json(arguments.out / "results.json", "Run this without --table first.")))
    except NevusError as problem:
        parser.exit(1, f"{problem}\n")


def prepared_dataset(images: Path, directory: Path, config: Config) -> Dataset:
    """The images, decoded once, with groups: images of one lesion, and near-duplicates of one another."""
    dataset = Dataset(directory)
    if not dataset.info_json.exists():
        nevus.prepare(images, directory, config)
    if any(not row.group for row in dataset.rows):
        nevus.split(dataset, config)
    return dataset


def train_on(dataset: Dataset, run: Run, config: Config) -> None:
    """Trains and predicts, unless that is done.

    Raises:
        RunError: the folder holds a training with other options.
    """
    begun = run.run_json.exists()
    before = config_from_json(read_json(run.config_json, "Delete the folder.")) if begun else config
    if changes := changed_options(before, config):
        raise RunError(
            f"{run.directory} was trained with other options: {'; '.join(changes)}. "
            "Name another folder, or delete this one."
        )
    is_trained = begun and run.record["status"] == DONE
    if is_trained and run.predictions_csv("test").exists():
        return
    from nevus.learn.training.predict import predict
    from nevus.learn.training.train import train

    if not is_trained:
        train(run, dataset, config, resume=begun)
    predict(run, dataset)


def split_again(prepared: Dataset, directory: Path, config: Config, *, by_lesion: bool = True) -> Dataset:
    """A dataset of the same images with a split of its own, by lesion or at random; the same one each time."""
    from nevus.data.splits import split

    dataset = Dataset(directory)
    if dataset.info_json.exists() and all(row.group for row in dataset.rows):
        return dataset
    directory.mkdir(parents=True, exist_ok=True)
    link_or_copy(prepared.pixels_npy, dataset.pixels_npy)
    rows = [replace(row, group="", split="") for row in prepared.rows]
    if not by_lesion:
        rows = [replace(row, lesion_id="", patient_id="", duplicate_group="") for row in rows]
    dataset.write_rows(rows)
    dataset.write_info(prepared.info)
    return split(dataset, val_fraction=config.val_fraction, test_fraction=config.test_fraction, seed=config.seed)


def mean_difference(gaps: np.ndarray) -> Estimate:
    """The mean of paired differences, float64 [seeds], with Student's 95 % interval; NaN ends if there is none."""
    low = high = math.nan
    if gaps.size > 1 and np.ptp(gaps) > 0:
        low, high = stats.ttest_1samp(gaps, 0.0).confidence_interval()
    return Estimate(float(gaps.mean()) if gaps.size else math.nan, float(low), float(high))


def described(results: Results, num_seeds: int, *further: str) -> str:
    """The line below a table: how many seeds, which network, which images."""
    config = results["config"]
    parts = [f"recipe {config['recipe'] or 'its own'}", f"{config['image_size']} pixels", *further]
    return (
        f"Means over {num_seeds} seed{'s' * (num_seeds != 1)}; network {config['model']}, {', '.join(parts)}, "
        f"{results['num_images']:,} images."
    )

"""What do age, sex and site add to the image? HAM10000, with and without them, on the same splits by lesion.

For each seed this splits HAM10000 by lesion and trains one network twice, on pixels alone and with metadata as a
second input (docs/metadata.md). The second is measured with its metadata and without any:

    python examples/metadata_ablation.py PATH/TO/HAM10000 runs/metadata
    python examples/metadata_ablation.py PATH/TO/HAM10000 runs/metadata --table

The second command prints what is there so far as a Markdown table. Finished trainings are kept, and one that
was cut off goes on at its last epoch. Every option of `nevus train` is there.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from leak_experiment import BY_LESION, prepared_dataset, split_again
from scipy import stats

from nevus.assess import class_metrics, metrics
from nevus.cli.options import add_config_flags, config_of
from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import NevusError, RunError
from nevus.core.files import finite, read_json, write_json
from nevus.core.predictions import Predictions, read_predictions
from nevus.core.runs import DONE, Run

METADATA = ("age", "sex", "site")
PIXELS, WITH, WITHHELD = "pixels alone", "with metadata", "trained with, none given"
FIGURES = {
    "macro_roc_auc": "macro ROC-AUC of the classes",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC-AUC, malignant or benign",
    "average_precision": "average precision, malignant",
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
            experiment(arguments, results_json)
        print(markdown(read_json(results_json, "Run this without --table first.")))
    except NevusError as problem:
        parser.exit(1, f"{problem}\n")


def experiment(arguments: argparse.Namespace, results_json: Path) -> None:
    """Trains what is not trained yet and measures all; what is measured is written after each training."""
    first = config_of(arguments, image_size=IMAGE_SIZE)
    prepared = prepared_dataset(arguments.images, arguments.out / "dataset", first)
    runs: list[dict[str, Any]] = []
    for seed in range(first.seed, first.seed + arguments.seeds):
        dataset = split_again(prepared, arguments.out / f"split-{seed}", BY_LESION, replace(first, seed=seed))
        for how, names in ((PIXELS, ()), (WITH, first.metadata or METADATA)):
            config = replace(first, seed=seed, metadata=names)
            run = Run(arguments.out / f"{how.replace(' ', '-')}-{seed}")
            train_on(dataset, run, config)
            runs += [{"seed": seed, "how": name, **figures} for name, figures in measure(run, how).items()]
            results = {"num_images": len(prepared.rows), "config": first.to_json(), "runs": runs}
            write_json(results_json, results)
            print(", ".join(f"{name} {value}" for name, value in runs[-1].items()), flush=True)


def train_on(dataset: Dataset, run: Run, config: Config) -> None:
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

    if not is_trained:
        train(run, dataset, config, resume=begun)
    predict(run, dataset)


def measure(run: Run, how: str) -> dict[str, dict[str, float]]:
    """The figures of a run's test images; those of one with metadata as they are, and as though none were known."""
    test = read_predictions(run.predictions_csv("test"), run.dataset_info.classes)
    if how == PIXELS:
        return {PIXELS: figures(test)}
    return {WITHHELD: figures(without_metadata(run, test)), WITH: figures(test)}


def without_metadata(run: Run, test: Predictions) -> Predictions:
    """The predictions that the model would give for the pixels alone: what metadata add is a sum, and is taken out."""
    from nevus.core.metadata import values_of_cells
    from nevus.learn.metadata_head import read_head

    head = read_head(run)
    assert head is not None
    values = values_of_cells(head.variables, test.metadata, len(test.image_ids))
    return replace(test, logits=test.logits - head.logits(values) + head.logits(np.full_like(values, np.nan)))


def figures(test: Predictions) -> dict[str, float]:
    probabilities = test.probabilities()
    num_classes = len(test.classes.names)
    areas = [metrics.roc_auc(test.labels == index, probabilities[:, index]) for index in range(num_classes)]
    named = class_metrics.most_probable(probabilities)
    return {
        "macro_roc_auc": float(np.mean(areas)),
        "balanced_accuracy": float(
            class_metrics.balanced_accuracy(class_metrics.count_matrix(test.labels, named, num_classes))
        ),
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
    config = results["config"]
    return "\n".join(
        [
            *lines,
            "",
            f"Means over {len(seeds)} seed{'s' * (len(seeds) != 1)}; network {config['model']}, "
            f"recipe {config['recipe'] or 'its own'}, {config['image_size']} pixels, "
            f"metadata {', '.join(config['metadata'] or METADATA)}, {results['num_images']:,} images.",
        ]
    )


def difference(gaps: np.ndarray) -> str:
    """The mean of paired differences with the interval of Student's t over the seeds."""
    if gaps.size < 2 or np.ptp(gaps) == 0:
        return f"{gaps.mean():+.3f}" if gaps.size else "-"
    low, high = stats.ttest_1samp(gaps, 0.0).confidence_interval()
    return f"{gaps.mean():+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()

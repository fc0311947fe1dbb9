"""Runs whose sources were left out one after the other: simulated logits, evaluated as real ones are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nevus.assess.evaluation.evaluate import evaluate
from nevus.assess.evaluation.sources import measure_sources
from nevus.core.config import Config
from nevus.core.dataset import DatasetInfo, DatasetSource
from nevus.core.files import write_json
from nevus.core.labels import Classes
from nevus.core.predictions import Predictions, write_predictions
from nevus.core.runs import Run, environment, left_out_folders

CLASSES = Classes(("benign", "malignant"), ("malignant",))
# How well lesions of each source are told apart, as the distance of the means of both kinds of scores.
SKILLS = {"north": 1.6, "south": 2.2, "a clinic with <a> camera": 1.0, "east": 1.4}


def make_predictions(name: str, skill: float, *, num_images: int = 120, noise: float = 0.0, seed: int) -> Predictions:
    """Equal names and seeds give equal images; the noise is the model's own."""
    labels = np.arange(num_images) % 2
    random = np.random.default_rng(seed)
    scores = random.normal(skill * (labels - 0.5)) + noise * random.normal(size=num_images)
    return Predictions(
        classes=CLASSES,
        image_ids=[f"{name}_{index}" for index in range(num_images)],
        paths=[f"{name}_{index}.jpg" for index in range(num_images)],
        groups=[f"{name}_{index // 2}" for index in range(num_images)],
        labels=labels,
        logits=np.column_stack([np.zeros(num_images), scores]),
    )


def make_run(
    directory: Path, *, noise: float = 0.0, skills: Mapping[str, float] = SKILLS, last_model: bool = True
) -> Run:
    """A run whose sources were left out, and pooled; with the model of all sources if it is asked for."""
    run = Run(directory)
    folders = left_out_folders(skills)
    info = DatasetInfo(
        64, CLASSES, tuple(DatasetSource(name, "folder", ".") for name in skills), 120 * len(skills), 0, (), True
    )
    record = {
        "status": "done",
        "command": ["nevus", "run", *skills, "--leave-source-out"],
        "dataset": "dataset",
        "dataset_info": info.to_json(),
        "dataset_fingerprint": "d" * 64,
        "split_counts": {split: {} for split in ("train", "val", "test")},
        "environment": environment(),
    }
    write_json(run.run_json, {**record, "left_out": folders, "num_copies": dict.fromkeys(skills, 2)})
    write_json(run.config_json, Config(leave_source_out=True).to_json())
    for number, (source, skill) in enumerate(skills.items()):
        without = Run(run.directory / folders[source])
        write_json(without.run_json, record)
        _evaluate(without, make_predictions(source, skill, noise=noise, seed=number), noise)
    if last_model:
        _evaluate(run, make_predictions("all", 2.0, noise=noise, seed=98), noise)
    measure_sources(run, default_operating_point="sensitivity-90", bootstrap=100, seed=0)
    return run


def _evaluate(run: Run, test: Predictions, noise: float) -> None:
    write_predictions(run.predictions_csv("val"), make_predictions("val", 1.8, noise=noise, seed=99))
    write_predictions(run.predictions_csv("test"), test)
    evaluate(run, default_operating_point="sensitivity-90", bootstrap=100, seed=0)

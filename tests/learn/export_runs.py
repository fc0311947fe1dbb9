"""Makes a trained and evaluated run without training: what export reads, in the state that the stages leave it."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from nevus.core.chosen import Chosen, write_chosen
from nevus.core.clinical import ClinicalHead
from nevus.core.config import Config
from nevus.core.dataset import Dataset, DatasetInfo, DatasetSource
from nevus.core.estimate import Estimate
from nevus.core.files import sha256_of, write_json
from nevus.core.labels import Classes
from nevus.core.manifest import ManifestRow
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions, write_predictions
from nevus.core.runs import Run
from nevus.core.triage import Triage
from nevus.core.versions import METRICS_JSON
from nevus.learn.networks.architectures import build

BINARY = Classes(("benign", "malignant"), ("malignant",))
HAM = Classes(("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"), ("akiec", "bcc", "mel"))


def make_dataset(directory: Path, classes: Classes, image_size: int, num_images: int) -> Dataset:
    """A dataset of blurred noise, a third of it validation."""
    directory.mkdir()
    dataset = Dataset(directory)
    generator = np.random.default_rng(7)
    coarse = generator.integers(0, 256, (num_images, image_size // 4, image_size // 4, 3), dtype=np.uint8)
    np.save(dataset.pixels_npy, coarse.repeat(4, axis=1).repeat(4, axis=2))
    dataset.write_rows(
        [
            ManifestRow(
                f"image{i}", f"{i}.png", i, f"{i:064x}", "x", classes.names[i % len(classes.names)],
                group=f"g{i}", split=("train", "val", "test")[i % 3],
                columns={"age": "" if i % 5 == 0 else str(20 + i % 60), "sex": ("male", "female", "")[i % 4 % 3]},
            )
            for i in range(num_images)
        ]
    )  # fmt: skip
    source = DatasetSource("noise", "folder", "/somewhere/private")
    dataset.write_info(DatasetInfo(image_size, classes, (source,), num_images, 0, (), generated=True))
    return dataset


def make_dark_dataset(directory: Path, image_size: int, num_images: int) -> Dataset:
    """As `make_dataset`, but the malignant images are the darker ones, so that a network can be right."""
    dataset = make_dataset(directory, BINARY, image_size, num_images)
    pixels = np.load(dataset.pixels_npy) // 2
    pixels[::2] += 100
    np.save(dataset.pixels_npy, pixels)
    return dataset


def make_model(classes: Classes, image_size: int) -> keras.Model:
    """The classic network with random weights and random batch statistics, so that no node is trivial."""
    keras.utils.set_random_seed(3)
    model = build("classic", image_size, len(classes.names))
    generator = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    model.get_layer("logits").bias.assign(generator.normal(size=model.get_layer("logits").bias.shape))
    return model


def make_darkness_model(image_size: int) -> keras.Model:
    """A network that anyone can work out by hand: its logit is 8 * (mean darkness - 0.5), darkness 1 being black."""
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    light = keras.layers.Rescaling(1 / 255)(pixels)
    dark = keras.layers.Conv2D(1, 1, name="darkness")(light)
    maps = keras.layers.AveragePooling2D(4)(dark)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(maps)
    model = keras.Model(pixels, keras.layers.Dense(1, name="logits")(pooled), name="darkness")
    model.get_layer("darkness").set_weights([np.full((1, 1, 3, 1), -1 / 3), np.ones(1)])
    model.get_layer("logits").set_weights([np.full((1, 1), 8.0), np.full(1, -4.0)])
    return model


def make_run(
    directory: Path,
    classes: Classes = BINARY,
    image_size: int = 32,
    temperature: float = 1.0,
    model: keras.Model | None = None,
    dark: bool = False,
    head: ClinicalHead | None = None,
    class_weights: dict[str, float] | None = None,
) -> Run:
    """A run as train and evaluate leave it, with its dataset; of the classic network, unless told otherwise."""
    directory.mkdir(parents=True)
    if dark:
        dataset = make_dark_dataset(directory / "dataset", image_size, num_images=120)
    else:
        dataset = make_dataset(directory / "dataset", classes, image_size, num_images=120)
    run = Run(directory / "run")
    model = model or make_model(classes, image_size)
    run.start(dataset, training={"network": model.name, "recipe": "classic", "epochs_run": 0})
    write_json(run.config_json, Config(metadata=tuple(one.name for one in head.variables) if head else ()).to_json())
    if head:
        write_json(run.clinical_json, head.to_json())
    model.save(run.model_keras)
    for split in ("val", "test"):
        empty = np.zeros((0, len(classes.names)))
        predictions = Predictions(classes, [], [], [], np.zeros(0, dtype=np.int64), empty)
        write_predictions(run.predictions_csv(split), predictions)
    fingerprints = {split: sha256_of(run.predictions_csv(split)) for split in ("val", "test")}
    nothing = Estimate(float("nan"), float("nan"), float("nan"))
    points = [
        OperatingPoint("youden", "highest Youden index", 0.5, "val", fingerprints["val"], nothing, nothing),
        OperatingPoint("sensitivity-95", "sensitivity of .95", 0.3, "val", fingerprints["val"], nothing, nothing),
    ]
    write_chosen(
        run.operating_points_json,
        Chosen(
            temperature,
            "sensitivity-95",
            tuple(points),
            {},
            Triage(0.2, 0.8),
            0.4,
            class_weights=class_weights or {},
        ),
    )
    figure = Estimate(0.9, 0.8, 0.95).to_json()
    write_json(
        run.metrics_json,
        {
            "schema_version": METRICS_JSON,
            "fingerprints": {"predictions": fingerprints},
            "splits": {"test": {"num_images": 40, "roc_auc": figure, "average_precision": nothing.to_json()}},
            "classification": {"test": {"macro_roc_auc": figure, "classes": [{}] * len(classes.names)}},
            "operating_points": [
                {"name": point.name, "test": {"sensitivity": figure, "specificity": figure}} for point in points
            ],
        },
    )
    return run

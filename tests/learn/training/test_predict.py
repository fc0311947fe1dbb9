from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import DataError, RunError
from nevus.core.files import write_json
from nevus.core.labels import Classes
from nevus.core.predictions import read_predictions
from nevus.core.runs import Run
from nevus.learn.networks.architectures import build, class_logits
from nevus.learn.training.predict import load_model, predict


def make_run(directory: Path, dataset: Dataset, image_size: int = 32, num_classes: int = 2) -> Run:
    """A run with an untrained network, its record and its options, which is all that prediction reads."""
    keras.utils.set_random_seed(0)
    run = Run(directory)
    run.start(dataset)
    build("classic", image_size, num_classes).save(run.model_keras)
    write_json(run.config_json, Config().to_json())
    return run


def test_predictions_are_those_of_the_network_in_manifest_order(tiny_dataset: Dataset, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", tiny_dataset)

    predict(run, tiny_dataset)

    for split in ("val", "test"):
        predictions = read_predictions(run.predictions_csv(split), tiny_dataset.info.classes)
        rows = tiny_dataset.rows_of(split)
        pixels = tiny_dataset.pixels[[row.pixel_index for row in rows]].astype(np.float32)
        np.testing.assert_allclose(predictions.logits, class_logits(load_model(run)(pixels)), atol=1e-6)
        assert predictions.image_ids == [row.image_id for row in rows]
        assert predictions.groups == [row.group for row in rows]
        assert [predictions.classes.names[label] for label in predictions.labels] == [row.label for row in rows]
        assert predictions.columns["lesion_id"] == [row.lesion_id for row in rows]
        assert predictions.columns["age"] == [row.columns["age"] for row in rows]
    assert not run.predictions_csv("train").exists()


def test_more_than_one_batch_and_several_classes(tiny_dataset: Dataset, tmp_path: Path) -> None:
    dataset = Dataset(tmp_path / "data")
    dataset.directory.mkdir()
    os.link(tiny_dataset.pixels_npy, dataset.pixels_npy)
    classes = Classes(("mel", "nv", "bcc"), ("mel", "bcc"))
    dataset.write_info(dataclasses.replace(tiny_dataset.info, classes=classes))
    dataset.write_rows(
        [
            dataclasses.replace(row, label=classes.names[index % 3], split="test")
            for index, row in enumerate(tiny_dataset.rows)
        ]
    )
    run = make_run(tmp_path / "run", dataset, num_classes=3)

    predict(run, dataset, splits=["test"])

    predictions = read_predictions(run.predictions_csv("test"), classes)
    assert predictions.logits.shape == (120, 3)
    np.testing.assert_array_equal(predictions.labels, np.arange(120) % 3)


def test_a_run_without_a_network_is_refused(tiny_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"model\.keras does not exist"):
        predict(Run(tmp_path), tiny_dataset)


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04"])
def test_a_damaged_network_is_refused(content: bytes, tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.model_keras.write_bytes(content)
    with pytest.raises(RunError, match=r"model\.keras cannot be loaded"):
        load_model(run)


def test_a_network_with_a_changed_byte_is_refused(tiny_dataset: Dataset, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", tiny_dataset)
    content = bytearray(run.model_keras.read_bytes())
    content[len(content) // 2] ^= 0xFF  # Among the weights, whose checksum then is another.
    run.model_keras.write_bytes(content)
    with pytest.raises(RunError, match=r"model\.keras cannot be loaded"):
        load_model(run)


def test_a_network_that_would_run_code_is_refused(tmp_path: Path) -> None:
    pixels = keras.Input((8, 8, 3))
    run = Run(tmp_path)
    keras.Model(pixels, keras.layers.Lambda(lambda x: x)(pixels)).save(run.model_keras)
    with pytest.raises(RunError, match=r"model\.keras cannot be loaded"):
        load_model(run)


@pytest.mark.parametrize(("image_size", "num_classes"), [(48, 2), (32, 3)])
def test_a_network_for_other_data_is_refused(
    image_size: int, num_classes: int, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", tiny_dataset, image_size, num_classes)
    with pytest.raises(RunError, match="was trained on"):
        predict(run, tiny_dataset)


def test_another_dataset_than_the_run_was_trained_on_is_refused(tiny_dataset: Dataset, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", tiny_dataset)
    other = Dataset(tmp_path / "other")
    other.directory.mkdir()
    os.link(tiny_dataset.pixels_npy, other.pixels_npy)
    other.write_info(tiny_dataset.info)
    changed = {"train": "test", "test": "train"}
    other.write_rows([dataclasses.replace(row, split=changed.get(row.split, row.split)) for row in tiny_dataset.rows])
    with pytest.raises(RunError, match=rf"begun on another dataset.*{tiny_dataset.directory}"):
        predict(run, other)
    assert not run.predictions_csv("test").exists()


def test_a_split_without_images_is_refused(tiny_dataset: Dataset, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", tiny_dataset)
    with pytest.raises(DataError, match="no image in split 'extra'"):
        predict(run, tiny_dataset, splits=["extra"])

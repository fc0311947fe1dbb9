from __future__ import annotations

import dataclasses
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from nevus.core.dataset import Dataset
from nevus.core.errors import DataError
from nevus.learn.training.balance import balance_of

BENIGN, MALIGNANT = "benign", "malignant"


@pytest.fixture
def sources(tiny_dataset: Dataset, tmp_path: Path) -> Dataset:
    """The tiny dataset as of two sources: 'small' has few malignant images, 'large' has as many of either class."""
    dataset = Dataset(Path(shutil.copytree(tiny_dataset.directory, tmp_path / "dataset")))
    rows, number = [], Counter[str]()
    for row in dataset.rows:
        number[row.label] += 1
        small = number[row.label] % (8 if row.label == MALIGNANT else 4) == 0
        rows.append(dataclasses.replace(row, source="small" if small else "large"))
    dataset.write_rows(rows)
    return dataset


def test_by_class_the_classes_weigh_the_same(sources: Dataset) -> None:
    dataset = sources
    dataset.write_rows([row for index, row in enumerate(dataset.rows) if row.label == BENIGN or index % 8 == 1])
    weights = balance_of(dataset, "class").weights("train")
    totals = defaultdict(float)
    for row, weight in zip(dataset.rows_of("train"), weights, strict=True):
        totals[row.label] += weight
    assert totals[BENIGN] == pytest.approx(totals[MALIGNANT], rel=1e-5)
    assert weights.mean() == pytest.approx(1, rel=1e-5)


def test_in_every_source_the_classes_weigh_the_same(sources: Dataset) -> None:
    weights = balance_of(sources, "source-and-class").weights("train")
    totals: dict[tuple[str, str], float] = defaultdict(float)
    images = Counter(row.source for row in sources.rows_of("train"))
    for row, weight in zip(sources.rows_of("train"), weights, strict=True):
        totals[row.source, row.label] += weight
    for source in ("small", "large"):
        assert totals[source, BENIGN] == pytest.approx(totals[source, MALIGNANT], rel=1e-5)
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    # Sources weigh as the square roots of their numbers of images.
    expected = np.sqrt(images["large"] / images["small"])
    assert totals["large", BENIGN] / totals["small", BENIGN] == pytest.approx(expected, rel=1e-5)


def test_a_source_of_one_class_keeps_its_weight(sources: Dataset) -> None:
    sources.write_rows([row for row in sources.rows if (row.source, row.label) != ("small", MALIGNANT)])
    balance = balance_of(sources, "source-and-class")
    weights = balance.weights("train")
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    assert ("small", MALIGNANT) not in balance.cells
    assert set(balance.to_json()["source_weights"]["small"]) == {BENIGN}


def test_an_image_of_a_source_that_training_lacks_weighs_as_its_class(sources: Dataset) -> None:
    rows = [dataclasses.replace(row, source="new") if row.split == "val" else row for row in sources.rows]
    sources.write_rows(rows)
    balance = balance_of(sources, "source-and-class")
    expected = [balance.of_class()[row.label] for row in sources.rows_of("val")]
    np.testing.assert_allclose(balance.weights("val"), expected, rtol=1e-6)


def test_a_class_without_training_images_is_an_error(sources: Dataset) -> None:
    sources.write_rows([row for row in sources.rows if (row.split, row.label) != ("train", MALIGNANT)])
    with pytest.raises(DataError, match=r"no image of \['malignant'\]"):
        balance_of(sources, "source-and-class")

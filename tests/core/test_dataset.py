"""The files of a dataset: read as they were written; what is wrong with them is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nevus.core.dataset import Dataset
from nevus.core.errors import ConfigError, DataError
from nevus.core.manifest import ManifestRow
from nevus.core.runs import Run


def test_dataset_survives_its_folder(dataset: Dataset) -> None:
    again = Dataset(dataset.directory)
    assert again.info == dataset.info
    assert again.rows == dataset.rows
    assert again.fingerprint == dataset.fingerprint
    assert again.pixels.shape == (4, 16, 16, 3)
    assert not again.pixels.flags.writeable
    assert [row.image_id for row in again.rows_of("train")] == ["i0", "i1"]
    assert again.split_counts()["val"] == {"benign": 1, "malignant": 0}


def test_a_folder_may_be_named_by_a_text(dataset: Dataset, tmp_path: Path) -> None:
    named = Dataset(str(dataset.directory))
    assert named.info == dataset.info
    assert named.manifest_csv == dataset.manifest_csv
    assert Dataset.of(dataset) is dataset
    assert Dataset.of(str(dataset.directory)).rows == dataset.rows
    assert Run(str(tmp_path)).run_json == tmp_path / "run.json"
    for made in (Dataset, Dataset.of):
        with pytest.raises(
            ConfigError, match=r"Expected the folder of a prepared dataset, as a path. Received: NoneType"
        ):
            made(None)
    with pytest.raises(ConfigError, match=r"Expected the folder of a run, as a path. Received: int"):
        Run.of(3)


def test_dataset_faults_are_named(dataset: Dataset) -> None:
    rows = dataset.rows
    with pytest.raises(DataError, match="no image in split 'holdout'"):
        dataset.rows_of("holdout")
    dataset.write_rows([ManifestRow("a", "a", 9, "0", "nv", "benign")])
    with pytest.raises(DataError, match=r"pixel_index 9 is out of range. Expected 0 to 3"):
        _ = dataset.rows
    dataset.write_rows([ManifestRow("a", "a", 0, "0", "nv", "odd")])
    with pytest.raises(DataError, match="label 'odd' is unknown"):
        _ = dataset.rows
    dataset.write_rows(rows)
    dataset.pixels_npy.write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="cannot be read"):
        _ = dataset.pixels
    np.save(dataset.pixels_npy, np.zeros((3, 16, 16, 3), np.uint8))
    with pytest.raises(DataError, match="expected uint8"):
        _ = dataset.pixels
    dataset.info_json.write_text("{}")
    with pytest.raises(DataError, match=r"dataset\.json is damaged"):
        _ = Dataset(dataset.directory).info
    dataset.info_json.write_text('{"schema_version": 1}')
    with pytest.raises(DataError, match="missing or wrong field"):
        _ = Dataset(dataset.directory).info


def test_an_audit_goes_with_the_manifest_that_it_was_of(dataset: Dataset) -> None:
    dataset.audit_json.touch()
    dataset.audit_html.touch()
    dataset.write_rows(dataset.rows)
    assert not dataset.audit_json.exists()
    assert not dataset.audit_html.exists()

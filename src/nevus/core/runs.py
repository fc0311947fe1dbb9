"""A run on disk: the folder in which the stages after preparation meet, file by file.

run.json                status, command, fingerprints, versions
config.json             every option the run was made with
history.csv             one row an epoch
checkpoints/            the best weights, and all that resuming needs
model.keras             the trained network with its best weights
metadata.json           what age, sex and site add to its logits, if it takes them
tensorboard/            event files
predictions/{val,test}.csv
predictions/test_heatmaps.npy   float16 [N, h, w], signed, in the order of test.csv
operating_points.json   thresholds, chosen on val
metrics.json            figures, computed on test once
plots/                  the report's figures as PNG
report.html             for people
model_card.md           the same in short, for a model's page on a hub
model.onnx              the exported model; in other formats: `EXPORTED_FILES`
parity.json             how well each exported file agrees with model.keras
probe.json              whether its heatmaps tell the truth, if that was asked

A cross-validation has, in place of history.csv to model.onnx:

fold-1/ .. fold-k/      an ordinary run each, with its dataset
predictions/out_of_fold.csv
cross_validation.json   figures, pooled and over the folds; report.html and plots/ show them
ensemble.onnx           the average of the folds' models
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from nevus.core.config import Config, changed_options, config_from_json
from nevus.core.dataset import Dataset, DatasetInfo
from nevus.core.errors import RunError
from nevus.core.files import read_json, sha256_of, write_json
from nevus.core.pretrained import describe_weights
from nevus.core.vocabulary import EXPORTED_FILES

RUNNING, DONE, FAILED = "running", "done", "failed"

_REPORTED_PACKAGES = (
    "nevus numpy pillow onnxruntime onnx tensorflow tensorflow-cpu keras tf2onnx scikit-learn scipy matplotlib".split()
)


class Run:
    """Typed paths of one run's folder, and its record `run.json`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run_json = directory / "run.json"
        self.config_json = directory / "config.json"
        self.history_csv = directory / "history.csv"
        self.checkpoints = directory / "checkpoints"
        self.model_keras = directory / "model.keras"
        self.clinical_json = directory / "metadata.json"
        self.tensorboard = directory / "tensorboard"
        self.operating_points_json = directory / "operating_points.json"
        self.metrics_json = directory / "metrics.json"
        self.plots = directory / "plots"
        self.report_html = directory / "report.html"
        self.model_card_md = directory / "model_card.md"
        self.model_onnx = self.exported("onnx")
        self.web = directory / "web"
        self.parity_json = directory / "parity.json"
        self.probe_json = directory / "probe.json"
        self.cross_validation_json = directory / "cross_validation.json"
        self.ensemble_onnx = directory / "ensemble.onnx"

    def exported(self, file_format: str) -> Path:
        """The file of an export, by its format: a key of `EXPORTED_FILES`."""
        return self.directory / EXPORTED_FILES[file_format]

    def predictions_csv(self, split: str) -> Path:
        """The file of a split's predictions."""
        return self.directory / "predictions" / f"{split}.csv"

    @property
    def heatmaps_npy(self) -> Path:
        """Float16 [N, h, w], what raises (positive) and lowers the malignant logit, in the order of test.csv."""
        return self.directory / "predictions" / "test_heatmaps.npy"

    @property
    def folds(self) -> list[Run]:
        """The runs of a cross-validation, one a fold; empty for an ordinary run."""
        num_folds = self.record.get("num_folds", 0)
        return [Run(fold_directory(self.directory, number)) for number in range(1, num_folds + 1)]

    @property
    def name(self) -> str:
        return self.directory.resolve().name

    @property
    def dataset(self) -> Dataset:
        """The prepared dataset that the run was trained on."""
        return Dataset((self.directory / self.recorded("dataset")).resolve())

    @property
    def dataset_info(self) -> DatasetInfo:
        """What held for the dataset when the run began; needs no dataset on disk."""
        return DatasetInfo.from_json(self.recorded("dataset_info"))

    @property
    def record(self) -> dict[str, Any]:
        """The contents of `run.json`."""
        record: dict[str, Any] = read_json(self.run_json, "Run 'nevus train' first.")
        return record

    def recorded(self, name: str) -> Any:
        """One field of `run.json`.

        Raises:
            RunError: the file lacks it.
        """
        try:
            return self.record[name]
        except (KeyError, TypeError):
            raise RunError(f"{self.run_json}: field '{name}' is missing. Run 'nevus train' again.") from None

    def update(self, **changes: Any) -> None:
        """Writes `changes` into `run.json`, keeping what else stands there."""
        record = self.record if self.run_json.exists() else {}
        write_json(self.run_json, {**record, **changes})

    def check_absent(self) -> None:
        """Checks that the folder holds no run yet.

        Raises:
            RunError: it does.
        """
        if self.run_json.exists():
            raise RunError(
                f"{self.directory} holds a run already (status: {self.record.get('status')}). "
                "Name another folder with --out, go on with --resume, or start over with --overwrite."
            )

    def is_current(self, made_from: Mapping[str, str]) -> bool:
        """Whether files of the run, SHA-256 by name, are still those that something was made from."""
        return all(
            (self.directory / name).is_file() and sha256_of(self.directory / name) == sha256
            for name, sha256 in made_from.items()
        )

    def check_dataset(self, dataset: Dataset) -> None:
        """Checks that a dataset is the one that the run was begun on, with the same splits.

        Raises:
            RunError: it is another one, or has changed since.
        """
        before, now = self.dataset_info, dataset.info
        # The fingerprint is of files, labels, splits, groups and further columns: it tells none of the first three.
        changes = [
            f"{name} was {old!r}, now {new!r}"
            for name, old, new in (
                ("image size", before.image_size, now.image_size),
                ("classes", before.classes.names, now.classes.names),
                ("malignant", before.classes.malignant, now.classes.malignant),
                ("number of images", before.num_images, now.num_images),
            )
            if old != new
        ]
        if changes or self.recorded("dataset_fingerprint") != dataset.fingerprint:
            reason = "; ".join(changes) or "its files, labels, splits, groups or further columns differ"
            raise RunError(
                f"{self.directory} was begun on another dataset, groups or splits than {dataset.directory} holds now: "
                f"{reason}. Expected {self.dataset.directory} as it was when the run began. Name that one, name "
                "another folder with --out, or start over with --overwrite."
            )

    def check_options(self, config: Config, but: Collection[str]) -> None:
        """Checks that the run was begun with the same options, except those of the stages `but`.

        Raises:
            RunError: an option differs, or the run's options cannot be read.
        """
        began = config_from_json(read_json(self.config_json, "Start over with --overwrite."))
        if changes := changed_options(began, config, but):
            raise RunError(
                f"{self.directory} was begun with other options: {'; '.join(changes)}. "
                "Resume with the same, name another folder with --out, or start over with --overwrite."
            )

    def check_resumable(self, dataset: Dataset, config: Config) -> None:
        """Checks that a run, finished or not, is what training with this dataset and these options would make.

        Options of preparation and splits may differ, for the dataset decides them and is compared itself; those of
        evaluation and export too, for these stages are done again.

        Raises:
            ConfigError: the pretrained weights are not there.
            RunError: dataset, options of the training, or the content of a file of weights differ.
        """
        self.check_dataset(dataset)
        self.check_options(config, but=("prepare", "split", "folds", "evaluate", "export"))
        if self.record.get("pretrained") != describe_weights(config.weights):
            raise RunError(
                f"{self.directory} was begun with other weights than {config.weights} holds now (their SHA-256 "
                "differ). Resume with the file it was begun with, or start over with --overwrite."
            )

    def start(self, dataset: Dataset, **record: Any) -> None:
        """Begins a run: records its status, dataset, command and environment beside `record`.

        Raises:
            RunError: the folder holds a run already.
        """
        self.check_absent()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.update(
            status=RUNNING,
            started=_now(),
            command=["nevus", *sys.argv[1:]],
            environment=environment(),
            # Of the folders that links lead to, for `dataset` reads it from there.
            dataset=os.path.relpath(dataset.directory.resolve(), self.directory.resolve()),
            dataset_fingerprint=dataset.fingerprint,
            dataset_info=dataset.info.to_json(),
            split_counts=dataset.split_counts(),
            **record,
        )

    def check_clearable(self) -> None:
        """Checks that `clear` would remove nothing but what a run wrote.

        Raises:
            RunError: the folder holds files by the names of a run's, and no `run.json` says that a run wrote them.
        """
        if self.run_json.exists():
            return
        if found := [path.name for path in self._written() if path.exists()]:
            raise RunError(
                f"{self.directory} holds {', '.join(found)}, and no run.json that says that a run wrote them. "
                "Expected a run to overwrite, or none of its files. Name another folder with --out, or move "
                "them away."
            )

    def clear(self, but: Collection[Dataset] = ()) -> None:
        """Removes what the run that is there wrote, and nothing else, from the folder.

        Args:
            but: datasets that are kept, though a fold may hold them.

        Raises:
            RunError: as `check_clearable`.
        """
        self.check_clearable()
        if not self.run_json.exists():
            return
        kept = {dataset.directory.resolve() for dataset in but}
        for fold in self.directory.glob("fold-[0-9]*"):
            if Run(fold).run_json.exists():
                Run(fold).clear()
            made = Dataset(fold / "dataset")
            if made.info_json.exists() and made.directory.resolve() not in kept:
                shutil.rmtree(made.directory)
        for path in self._written():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _written(self) -> list[Path]:
        """Where a run writes; `run.json` last, so that clearing can be cut off and begun again."""
        named = [path for path in vars(self).values() if path not in (self.directory, self.run_json)]
        exported = map(self.exported, EXPORTED_FILES)
        return [*dict.fromkeys([*named, *exported]), self.directory / "predictions", self.run_json]

    def finish(self, status: str) -> None:
        """Records how the run ended: `done` or `failed`."""
        self.update(status=status, finished=_now())


def fold_directory(directory: Path, number: int) -> Path:
    """Where a cross-validation keeps fold `number`, counted from 1: the fold's run, and its dataset within."""
    return directory / f"fold-{number}"


def environment() -> dict[str, Any]:
    """The versions and the machine that a result depends on."""
    versions = {}
    for package in _REPORTED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "packages": versions,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

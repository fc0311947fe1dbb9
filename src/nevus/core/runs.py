"""A run on disk: the folder in which the stages after preparation meet, file by file.

run.json                status, command, fingerprints, versions
config.json             every option the run was made with
history.csv             one row an epoch
checkpoints/            the best weights, and all that resuming needs
model.keras             the trained network with its best weights
metadata.json           what age, sex and site add to its logits, if it takes them
augmented.jpg           training images as the recipe varies them
tensorboard/            event files
predictions/{val,test}.csv
predictions/test_heatmaps.npy   float16 [N, h, w], signed, in the order of test.csv
operating_points.json   thresholds, chosen on val
metrics.json            metrics, computed on test once
plots/                  the report's figures as PNG
report.html             for people
model_card.md           the same in short, for a model's page on a hub
model.onnx              the exported model; in other formats: `EXPORTED_FILES`
model.fingerprints.npy  by which the images that it was trained on are known again
parity.json             how well each exported file agrees with model.keras
probe.json              whether its heatmaps tell the truth, if that was asked
stress.json             how its answers change with changed images; stress.html shows it

A cross-validation has, in place of history.csv to model.onnx:

fold-1/ .. fold-k/      an ordinary run each, with its dataset
predictions/out_of_fold.csv
cross_validation.json   figures, pooled and over the folds; report.html and plots/ show them
ensemble.onnx           the average of the folds' models

A run with its sources left out one after the other has, in addition to an ordinary run's files:

without-SOURCE/         an ordinary run each, trained without that source and tested on it, with its dataset
predictions/out_of_source.csv
sources.json            figures of each source, pooled over them; sources.html shows them
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from nevus.core.dataset import Dataset, DatasetInfo
from nevus.core.errors import RunError
from nevus.core.files import path_of, read_json, sha256_of, write_json
from nevus.core.machine import environment
from nevus.core.moved_dataset import find_moved
from nevus.core.versions import upgraded
from nevus.core.vocabulary import EXPORTED_FILES

SCHEMA_VERSION = 1

RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"

# Of the folders of runs that were trained without one source, and of the predictions of the sources left out.
WITHOUT = "without-"
OUT_OF_SOURCE = "out_of_source"


class Run:
    """Typed paths of one run's folder, and its record `run.json`."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = directory = path_of(directory, "the folder of a run")
        self.run_json = directory / "run.json"
        self.config_json = directory / "config.json"
        self.history_csv = directory / "history.csv"
        self.checkpoints = directory / "checkpoints"
        self.model_keras = directory / "model.keras"
        self.clinical_json = directory / "metadata.json"
        self.augmented_jpg = directory / "augmented.jpg"
        self.tensorboard = directory / "tensorboard"
        self.predictions = directory / "predictions"
        self.operating_points_json = directory / "operating_points.json"
        self.metrics_json = directory / "metrics.json"
        self.plots = directory / "plots"
        self.report_html = directory / "report.html"
        self.model_card_md = directory / "model_card.md"
        self.model_onnx = self.exported("onnx")
        self.web = directory / "web"
        self.parity_json = directory / "parity.json"
        self.probe_json = directory / "probe.json"
        self.stress_json = directory / "stress.json"
        self.stress_html = directory / "stress.html"
        self.cross_validation_json = directory / "cross_validation.json"
        self.ensemble_onnx = directory / "ensemble.onnx"
        self.sources_json = directory / "sources.json"
        self.sources_html = directory / "sources.html"

    @classmethod
    def of(cls, run: Run | str | Path) -> Run:
        """A run, or the one in the folder that is named.

        Raises:
            ConfigError: it is neither.
        """
        return run if isinstance(run, Run) else cls(run)

    def exported(self, file_format: str) -> Path:
        """The file of an export, by its format: a key of `EXPORTED_FILES`."""
        return self.directory / EXPORTED_FILES[file_format]

    def predictions_csv(self, split: str) -> Path:
        """The file of a split's predictions."""
        return self.predictions / f"{split}.csv"

    @property
    def heatmaps_npy(self) -> Path:
        """Float16 [N, h, w], what raises (positive) and lowers the malignant logit, in the order of test.csv."""
        return self.predictions / "test_heatmaps.npy"

    @property
    def folds(self) -> list[Run]:
        """The runs of a cross-validation, one a fold; empty for an ordinary run."""
        num_folds = self.record.get("num_folds", 0)
        return [Run(fold_directory(self.directory, number)) for number in range(1, num_folds + 1)]

    @property
    def left_out(self) -> dict[str, Run]:
        """The runs that were each trained without one source, by the source's name; empty for any other run."""
        return {name: Run(self.directory / folder) for name, folder in self.record.get("left_out", {}).items()}

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.directory.resolve().name

    @property
    def dataset(self) -> Dataset:
        """The prepared dataset that the run was trained on: where it was, or near there or the run if it has moved."""
        return self.located(Dataset(self._dataset_directory))

    @property
    def _dataset_directory(self) -> Path:
        return (self.directory / str(self.recorded("dataset"))).resolve()

    def located(self, dataset: Dataset) -> Dataset:
        """The run's dataset where it is now, if `dataset` is where it was and it is not there any more.

        Any other dataset, and one that is not found, is returned as it is.
        """
        was = self._dataset_directory
        if dataset.info_json.exists() or dataset.directory.resolve() != was:
            return dataset
        near = (was.parent, self.directory, self.directory.resolve().parent, Path())
        return find_moved(near, self.dataset_info, self.recorded("dataset_fingerprint")) or dataset

    def record_dataset(self, dataset: Dataset) -> None:
        """Records where the run's dataset is, if it was somewhere else before."""
        if self._dataset_directory != dataset.directory.resolve():
            self.update(dataset=self._relative(dataset))

    def _relative(self, dataset: Dataset) -> str:
        # Of the folders that links lead to, for `dataset` reads it from there.
        return os.path.relpath(dataset.directory.resolve(), self.directory.resolve())

    @property
    def dataset_info(self) -> DatasetInfo:
        """What held for the dataset when the run began; needs no dataset on disk."""
        return DatasetInfo.from_json(self.recorded("dataset_info"))

    @property
    def record(self) -> dict[str, Any]:
        """The contents of `run.json`."""
        data = read_json(self.run_json, "Run 'nevus train' first.")
        # The first runs say no version.
        versioned = {"schema_version": 1, **data} if isinstance(data, dict) else data
        return upgraded(versioned, SCHEMA_VERSION, str(self.run_json), "Run 'nevus train' again.")

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
        """Writes `changes` into `run.json`, keeping what else is there."""
        record = self.record if self.run_json.exists() else {}
        write_json(self.run_json, {"schema_version": SCHEMA_VERSION, **record, **changes})

    def check_absent(self) -> None:
        """Checks that the folder holds no run yet.

        Raises:
            RunError: it does.
        """
        if self.run_json.exists():
            raise RunError(
                f"{self.directory} holds a run already (status: {self.record.get('status')}). "
                "Name another folder with --out, continue with --resume, or start over with --overwrite."
            )

    def is_current(self, made_from: Mapping[str, str]) -> bool:
        """Whether files of the run, SHA-256 by name, are still those that something was made from."""
        return all(
            (self.directory / name).is_file() and sha256_of(self.directory / name) == sha256
            for name, sha256 in made_from.items()
        )

    def start(self, dataset: Dataset, **record: Any) -> None:
        """Begins a run: records its status, dataset, command and environment in addition to `record`.

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
            dataset=self._relative(dataset),
            dataset_fingerprint=dataset.fingerprint,
            dataset_info=dataset.info.to_json(),
            split_counts=dataset.split_counts(),
            **record,
        )

    @property
    def is_trained(self) -> bool:
        """Whether its training came to its end; the stages after it may be missing."""
        return self.run_json.exists() and bool(self.record.get("training"))

    def check_present(self) -> None:
        """Checks that the folder is still there, before something is written that would make it again.

        Raises:
            RunError: it was deleted or moved while the run was at work.
        """
        if not self.run_json.exists():
            raise RunError(
                f"{self.run_json} is gone: the folder was deleted or moved while the run was at work, and what it held "
                "cannot be completed. Start again."
            )

    @contextmanager
    def at_work(self, ends_as: str = DONE) -> Iterator[None]:
        """Records in the end how the work on the run ended: as `ends_as`, `failed` or `interrupted`.

        A process that is killed records nothing: the run then stays `running`.
        """
        if self.run_json.exists():
            self.update(status=RUNNING)
        try:
            yield
        except BaseException as problem:
            # Without its record it has not begun, or was deleted.
            if self.run_json.exists():
                self.finish(FAILED if isinstance(problem, Exception) else INTERRUPTED)
            raise
        self.finish(ends_as)

    def finish(self, status: str) -> None:
        """Records how the run ended: `done`, `failed` or `interrupted`."""
        self.update(status=status, finished=_now())


def fold_directory(directory: Path, number: int) -> Path:
    """Where a cross-validation keeps fold `number`, counted from 1: the fold's run, and its dataset within."""
    return directory / f"fold-{number}"


def left_out_folders(sources: Iterable[str]) -> dict[str, str]:
    """The name of the folder, by that of the source that its model is trained without.

    Examples:
        >>> folders = left_out_folders(["ham10000", "clinic (new)", "clinic-new"])
        >>> list(folders.values())
        ['without-ham10000', 'without-clinic-new', 'without-clinic-new-2']
    """
    folders: dict[str, str] = {}
    for source in sources:
        plain = WITHOUT + (re.sub(r"[^A-Za-z0-9._]+", "-", source).strip("-.") or "source")
        candidates = chain([plain], (f"{plain}-{number}" for number in count(2)))
        folders[source] = next(name for name in candidates if name not in folders.values())
    return folders


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

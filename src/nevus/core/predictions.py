"""Predictions on disk: the seam between models and their evaluation.

A CSV file for each split with a row an image and a logit a class. Evaluation
reads these files and never a model, so a Keras model, an ONNX file and a LiteRT
file are judged by the same code.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nevus.core.class_weights import log_weights, parse_class_weights
from nevus.core.errors import RunError
from nevus.core.labels import Classes
from nevus.core.manifest import write_csv

_LOGIT = "logit_"
_COLUMNS = ("image_id", "path", "label", "group", "also_in")


def is_own_column(name: str) -> bool:
    """Whether a column says what the model or Nevus found: no further column of the manifest may take its name."""
    return name in _COLUMNS or name.startswith(_LOGIT)


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model says of the images of one split; every sequence has length N.

    Attributes:
        classes: the C classes, in the order of the logits.
        image_ids: as in the manifest.
        paths: of the source files, relative to their source.
        groups: images of one lesion, patient or duplicate group share a value: the unit of resampling.
        labels: int64 [N], index of the true class.
        logits: float64 [N, C], before calibration. A network with one output z gives [0, z].
        log_weights: float64 [C], or [N, C] where images have different models: the logarithms of what each class
            weighed in training, which `logits` still hold and `probabilities` undoes; None if all weighed the same.
        columns: further columns of the manifest by name (age, sex, site), as text, each of length N.
        also_in: the other splits that the image's group is in, separated by spaces: a text each,
            or nothing at all where no group is in two splits, as is so unless the source's own splits leak.
    """

    classes: Classes
    image_ids: list[str]
    paths: list[str]
    groups: list[str]
    labels: NDArray[np.int64]
    logits: NDArray[np.float64]
    columns: dict[str, list[str]] = field(default_factory=dict)
    also_in: list[str] = field(default_factory=list)
    log_weights: NDArray[np.float64] | None = None

    @property
    def is_malignant(self) -> NDArray[np.bool_]:
        """bool [N]: the truth, malignant or not."""
        return self.classes.malignant_mask[self.labels]

    def leaks_into(self, split: str) -> NDArray[np.bool_]:
        """Bool [N]: which images share their lesion, patient or picture with an image of another split."""
        return np.array([split in splits.split() for splits in self.also_in or [""] * len(self.image_ids)], dtype=bool)

    def where(self, chosen: NDArray[np.bool_]) -> Predictions:
        """The predictions of the images for which `chosen`, bool [N], is True."""
        return self.take(np.flatnonzero(chosen))

    def take(self, kept: NDArray[np.int64]) -> Predictions:
        """The predictions of the images at the places `kept`, int64 [K], in that order."""

        def pick(values: list[str]) -> list[str]:
            return [values[index] for index in kept] if values else []

        return Predictions(
            classes=self.classes,
            image_ids=pick(self.image_ids),
            paths=pick(self.paths),
            groups=pick(self.groups),
            labels=self.labels[kept],
            logits=self.logits[kept],
            columns={name: pick(values) for name, values in self.columns.items()},
            also_in=pick(self.also_in),
            log_weights=self.log_weights[kept]
            if self.log_weights is not None and self.log_weights.ndim == 2
            else self.log_weights,
        )

    def probabilities(self, temperature: float = 1.0) -> NDArray[np.float64]:
        """float64 [N, C], rows sum to 1: what the images of each class make up, with the class weights undone.

        The softmax of the logits over the temperature (Guo et al. 2017), less `log_weights`.
        """
        scaled = self.logits / temperature
        return softmax(scaled if self.log_weights is None else scaled - self.log_weights)

    def weighted_probabilities(self, temperature: float = 1.0) -> NDArray[np.float64]:
        """float64 [N, C], rows sum to 1: as `probabilities`, but each class weighs what it did in training."""
        return softmax(self.logits / temperature)

    def risk(self, temperature: float = 1.0) -> NDArray[np.float64]:
        """float64 [N] in [0, 1]: the summed probability of the malignant classes."""
        return self._summed(self.probabilities(temperature))

    def weighted_risk(self) -> NDArray[np.float64]:
        """float64 [N] in [0, 1]: as `risk`, before any correction: of the network's own softmax."""
        return self._summed(self.weighted_probabilities())

    def undone(self) -> Predictions:
        """The same with logits from which `log_weights` are taken, so that their softmax gives `probabilities`."""
        return (
            self if self.log_weights is None else replace(self, logits=self.logits - self.log_weights, log_weights=None)
        )

    def _summed(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        total = probabilities[:, self.classes.malignant_mask].sum(axis=1)
        # Rounding can carry a sum of several probabilities past 1.
        return np.asarray(np.minimum(total, 1.0))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Float64 [N, C], rows sum to 1, from logits [N, C] of any size."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Writes predictions as CSV; logits with the digits that give the same float64 back.

    Columns of the manifest that go by the name of another are left out: a reader would take them for it.
    """
    extra = [name for name in predictions.columns if not is_own_column(name)]
    header = [*_COLUMNS, *(_LOGIT + name for name in predictions.classes.names), *extra]
    rows = (
        [
            image_id,
            predictions.paths[index],
            predictions.classes.names[predictions.labels[index]],
            predictions.groups[index],
            predictions.also_in[index] if predictions.also_in else "",
            *(repr(float(logit)) for logit in predictions.logits[index]),
            *(predictions.columns[name][index] for name in extra),
        ]
        for index, image_id in enumerate(predictions.image_ids)
    )
    write_csv(path, chain([header], rows))


def read_predictions(path: Path, classes: Classes, class_weights: Mapping[str, float] | None = None) -> Predictions:
    """Reads predictions and checks them against the classes.

    Args:
        path: the file.
        classes: of the model.
        class_weights: what each class weighed in its training, by name; none if all weighed the same.

    Raises:
        RunError: the file or a column is missing, a row is wrong, or the weights are; names the row.
    """
    hint = "Run 'nevus train' first."
    try:
        weights = parse_class_weights(class_weights, classes)
    except (ValueError, TypeError) as problem:
        raise RunError(f"{path}: {problem} {hint}") from None
    logit_columns = [_LOGIT + name for name in classes.names]
    required = [*_COLUMNS, *logit_columns]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            records = list(reader)
    except FileNotFoundError:
        raise RunError(f"{path} does not exist. {hint}") from None
    except (UnicodeDecodeError, csv.Error) as problem:
        raise RunError(f"{path} is not a CSV file in UTF-8 ({problem}). {hint}") from None
    missing = [name for name in required if name not in columns]
    if missing:
        raise RunError(f"{path}: missing columns {missing}. {hint}")
    labels, logits = [], []
    for number, record in enumerate(records, start=2):
        try:
            labels.append(classes.names.index(record["label"]))
            logits.append([float(record[name]) for name in logit_columns])
        except (ValueError, TypeError):
            raise RunError(
                f"{path} row {number}: expected a label of {list(classes.names)} and a number for each logit. {hint}"
            ) from None
    also_in = [record["also_in"] for record in records]
    return Predictions(
        classes=classes,
        image_ids=[record["image_id"] for record in records],
        paths=[record["path"] for record in records],
        groups=[record["group"] for record in records],
        labels=np.array(labels, dtype=np.int64),
        logits=np.array(logits, dtype=np.float64).reshape(len(records), len(classes.names)),
        columns={name: [record[name] for record in records] for name in columns if name not in required},
        also_in=also_in if any(also_in) else [],
        log_weights=log_weights(weights, classes),
    )

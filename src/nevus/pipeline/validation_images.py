"""The images of a validation, and what a model says of them, as predictions that the evaluation can judge.

Owns how the diagnoses of other data become classes of the model, which images belong together, and what of age, sex
and site the model can be told. It trains nothing and computes no metric.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nevus.core.clinical import known, value_of
from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import ConfigError, RunError
from nevus.core.labels import BENIGN, MALIGNANT, Classes
from nevus.core.manifest import ManifestRow
from nevus.core.modelfile import ModelSpec
from nevus.core.predictions import Predictions
from nevus.core.preprocess import Pixels, resize
from nevus.core.terminal import progress
from nevus.pipeline.stages import table_columns

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nevus.core.clinical import Values
    from nevus.serve.prediction import Answer
    from nevus.serve.predictor import Predictor

_log = logging.getLogger(__name__)

BINARY = Classes((BENIGN, MALIGNANT), (MALIGNANT,))

# The logarithm of 0 is none; single precision holds nothing smaller.
_SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Labelled:
    """The true classes of N images, in those of a model as far as it has them.

    Attributes:
        classes: the model's; benign and malignant alone if it lacks the class of an image.
        labels: int64 [N], index of the true class.
        without_class: number of images by diagnosis that the model has no class for.
    """

    classes: Classes
    labels: NDArray[np.int64]
    without_class: Counter[str]


def dataset_of(
    sources: Sequence[Path], directory: Path, spec: ModelSpec, config: Config, *, overwrite: bool = False
) -> Dataset:
    """The prepared images: the dataset that is named, or else one that is made for a model.

    Args:
        sources: what `prepare` reads, or one prepared dataset.
        directory: for a dataset that is made.
        spec: of the model, which gives the image size.
        config: the other options of preparation.
        overwrite: replace the dataset that is there.

    Raises:
        DataError: the images cannot be understood, or none can be used.
        RunError: a prepared dataset is named with other sources.
    """
    from nevus.data.prepare import prepare

    prepared = [path for path in sources if Dataset(path).info_json.exists()]
    if prepared and len(sources) > 1:
        raise RunError(f"{prepared[0]} is already prepared, so nothing can be added to it. Name the sources instead.")
    if prepared:
        return Dataset(prepared[0])
    _log.info("Preparing %s", ", ".join(map(str, sources)))
    return prepare(
        sources,
        directory,
        image_size=spec.image_size,
        classes="binary",
        malignant=config.malignant,
        columns=table_columns(config),
        max_pixels=config.max_pixels,
        workers=config.workers,
        overwrite=overwrite,
        needs_both=False,
    )


def label(dataset: Dataset, classes: Classes) -> Labelled:
    """Finds the class of each image among those of a model.

    Where the model has no class for a diagnosis, all images are benign or malignant: that is known of each, and what
    the model says of it is its risk, whatever classes it adds up.

    Args:
        dataset: prepared, with other classes than the model's or the same.
        classes: of the model.
    """
    from nevus.data.diagnoses import class_among

    malignant = [row.label in dataset.info.classes.malignant for row in dataset.rows]
    # First the label of the manifest, which a person may have put right; benign or malignant may say too little.
    found = [
        class_among(row.label, verdict, classes) or class_among(row.diagnosis, verdict, classes)
        for row, verdict in zip(dataset.rows, malignant, strict=True)
    ]
    without = Counter(row.diagnosis or row.label for row, name in zip(dataset.rows, found, strict=True) if name is None)
    if without:
        return Labelled(BINARY, np.array(malignant, dtype=np.int64), without)
    return Labelled(classes, np.array([classes.names.index(name or "") for name in found], dtype=np.int64), without)


def clinical_values(rows: Sequence[ManifestRow], spec: ModelSpec) -> tuple[Values | None, list[str]]:
    """The clinical values of the images, float32 [N, M], and what could not be told to the model.

    Args:
        rows: N of them.
        spec: of the model.

    Returns:
        None for a model that takes pixels alone. A value that the model cannot take is missing to it.
    """
    if not spec.clinical:
        return None, []
    values = np.full((len(rows), len(spec.clinical)), np.nan, dtype=np.float32)
    notes = []
    for place, variable in enumerate(spec.clinical):
        refused: Counter[str] = Counter()
        for number, row in enumerate(rows):
            cell = row.columns.get(variable.name, "")
            try:
                values[number, place] = value_of(variable, known(cell))
            except ConfigError:
                refused[cell] += 1
        missing = int(np.isnan(values[:, place]).sum()) - refused.total()
        if missing == len(rows):
            notes.append(f"the model also takes {variable.name}, which the data do not have; it was treated as unknown")
        elif missing or refused:
            notes.append(f"{variable.name} is not known for {missing + refused.total():,} images")
        if refused:
            notes.append(
                f"{variable.name}: the model cannot use values such as '{refused.most_common(1)[0][0]}', which "
                f"{refused.total():,} images have"
            )
    return values, notes


def answers(
    predictor: Predictor, dataset: Dataset, rows: Sequence[int], values: Values | None, heatmap: bool = False
) -> Iterator[Answer]:
    """What a model says of images of a dataset, by a thread for each core.

    Args:
        predictor: the model.
        dataset: prepared, at the model's image size or another.
        rows: places in the manifest.
        values: float32 [num_images, M], the clinical values of all images; None if the model takes none.
        heatmap: whether to compute heatmaps.

    Yields:
        An answer for each image, in order.
    """
    from nevus.serve.stream import in_threads

    pixels, manifest = dataset.pixels, dataset.rows

    def score(batch: list[int]) -> list[Answer]:
        images = np.stack([resized(pixels[manifest[row].pixel_index], predictor.spec.image_size) for row in batch])
        return list(predictor.answer(images, heatmap, None if values is None else values[batch]))

    return in_threads(iter(rows), int, score, predictor.batch_size)


def resized(pixels: Pixels, image_size: int) -> Pixels:
    """Pixels of a dataset, uint8 [S, S, 3], at a model's own size."""
    from PIL import Image

    return pixels if pixels.shape[0] == image_size else resize(Image.fromarray(pixels), image_size)


def predict(
    predictor: Predictor, dataset: Dataset, labelled: Labelled, groups: list[str], values: Values | None
) -> tuple[Predictions, NDArray[np.float64]]:
    """What a model says of all images of a dataset.

    The logits are the logarithms of the model's probabilities with the class weights that it undoes, times its
    temperature, so that `Predictions.probabilities` gives the probabilities again. They are logits of the network but
    for a constant that the softmax takes away.

    Args:
        predictor: the model.
        dataset: prepared, N images.
        labelled: their classes.
        groups: their groups, N names.
        values: float32 [N, M], their clinical values; None if the model takes none.

    Returns:
        The predictions, with the columns of the manifest, `source` and `diagnosis`; and the network's own
        risks, without the temperature and with class weights, float64 [N].
    """
    rows, spec = dataset.rows, predictor.spec
    scored = answers(predictor, dataset, range(len(rows)), values)
    probabilities = np.array(
        [answer.probabilities for answer in progress(scored, total=len(rows), label="Predicting")], dtype=np.float64
    )
    logits = np.log(np.maximum(probabilities, _SMALLEST_PROBABILITY))
    if spec.log_weights is not None:
        logits = logits + spec.log_weights
    logits = spec.temperature * logits
    columns = dict.fromkeys(name for row in rows for name in row.columns)
    of_model = Predictions(
        classes=spec.classes,
        image_ids=[row.image_id for row in rows],
        paths=[row.path for row in rows],
        groups=groups,
        labels=labelled.labels,
        logits=logits,
        columns={
            "lesion_id": [row.lesion_id for row in rows],
            "patient_id": [row.patient_id for row in rows],
            "source": [row.source for row in rows],
            "diagnosis": [row.diagnosis for row in rows],
            **{name: [row.columns.get(name, "") for row in rows] for name in columns},
        },
        log_weights=spec.log_weights,
    )
    uncalibrated = of_model.weighted_risk()
    if labelled.classes == spec.classes:
        return of_model, uncalibrated
    malignant = spec.classes.malignant_mask
    both = np.stack([probabilities[:, kind].sum(axis=1) for kind in (~malignant, malignant)], axis=1)
    both = np.maximum(both, _SMALLEST_PROBABILITY)
    of_both = replace(of_model, classes=labelled.classes, logits=spec.temperature * np.log(both), log_weights=None)
    return of_both, uncalibrated


def describe_labels(labelled: Labelled) -> list[str]:
    """What a reader should know of diagnoses that the model has no class for; empty if it has all."""
    if not labelled.without_class:
        return []
    named = ", ".join(f"{name} ({number:,})" for name, number in labelled.without_class.most_common(5))
    more = len(labelled.without_class) - 5
    others = f" and {more} more" if more > 0 else ""
    return [
        f"the model has no class for {labelled.without_class.total():,} images: {named}{others}; all are judged by "
        "benign and malignant alone, which is known of each"
    ]

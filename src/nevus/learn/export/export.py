"""Export: from a run's trained network to one file that takes raw pixels and gives calibrated answers.

Reads `model.keras`, `operating_points.json`, `metrics.json` and the run's record; writes the file of one
format of `FORMATS` and its entry in `parity.json`, both or neither. The files are made in `onnx_file`, `onnx_int8`,
`litert_file`, `litert_int8` and `keras_file`, what they say of themselves in `description`, and their agreement with
Keras is measured in `parity`; nothing is trained or chosen here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nevus.core.clinical import ClinicalHead, Variable
from nevus.core.dataset import Dataset
from nevus.core.errors import ModelFileError, RunError
from nevus.core.files import read_json, replacing, sha256_of, write_json
from nevus.core.manifest import ManifestRow
from nevus.core.modelfile import GoldenCase, ModelSpec, golden_pixels, parse_spec
from nevus.core.preprocess import Pixels
from nevus.core.runs import Run
from nevus.core.vocabulary import EXPORTED_FILES
from nevus.learn.export import keras_file, litert_file, litert_int8, onnx_file, onnx_int8
from nevus.learn.export.description import EVALUATE_FIRST, describe_network
from nevus.learn.export.parity import Answering, Exported, Limits, Sample, answers_of_keras, check_parity, golden_sizes
from nevus.learn.networks.activation_map import tap
from nevus.learn.networks.clinical_head import read_head
from nevus.learn.training.batches import values_of_rows
from nevus.learn.training.predict import load_model

# Enough to show a difference, few enough to take seconds.
MAX_PARITY_IMAGES = 512
# Of fewer, two neighbours that change places are a loss of ROC-AUC.
LEAST_PARITY_IMAGES = 256
# Ranges of feature maps change little after the first hundred images.
MAX_CALIBRATION_IMAGES = 256

FLOAT32 = Limits(probability=1e-4, heatmap=1e-4, roc_auc_loss=1e-4, flipped=0.0)
FLOAT16 = Limits(probability=0.01, heatmap=0.01, roc_auc_loss=0.001, flipped=0.01)
# The map of a network of separable convolutions loses more than its answer: compact's differs by a quarter at most.
INT8 = Limits(probability=0.15, heatmap=0.3, roc_auc_loss=0.003, flipped=0.05)


@dataclass(frozen=True, slots=True)
class Format:
    """How a format's file is made and run.

    Attributes:
        build: from the network with its features, the description, training images and what age, sex and site add
            to the logits to the file without its description.
        with_description: adds the description to a file.
        opened: gives what a file answers.
        limits: of its parity with the Keras model.
        resized: what a file's own resize makes of an image; None if it takes images of one size.
        takes_clinical: whether a file can have the optional second input.
    """

    build: Callable[[keras.Model, ModelSpec, Pixels, ClinicalHead | None], bytes]
    with_description: Callable[[bytes, str], bytes]
    opened: Callable[[bytes], Exported]
    limits: Limits
    resized: Callable[[bytes, Pixels], Pixels] | None = None
    takes_clinical: bool = False


def _onnx(build: Callable[[keras.Model, ModelSpec, Pixels, ClinicalHead | None], bytes], limits: Limits) -> Format:
    return Format(build, onnx_file.with_description, onnx_file.opened, limits, onnx_file.resized, takes_clinical=True)


def _litert(build: Callable[[keras.Model, ModelSpec, Pixels, ClinicalHead | None], bytes], limits: Limits) -> Format:
    return Format(build, litert_file.with_description, litert_file.opened, limits)


FORMATS = {
    "onnx": _onnx(lambda tapped, spec, _, head: onnx_file.build(tapped, spec, head), FLOAT32),
    "onnx-int8": _onnx(onnx_int8.build, INT8),
    "litert": _litert(lambda tapped, spec, *_: litert_file.build(tapped, spec), FLOAT32),
    "litert-fp16": _litert(
        lambda tapped, spec, calibration, _: litert_file.build_fp16(tapped, spec, calibration), FLOAT16
    ),
    "litert-int8": _litert(lambda tapped, spec, calibration, _: litert_int8.build(tapped, spec, calibration), INT8),
    "keras": Format(
        lambda tapped, spec, *_: keras_file.build(tapped, spec),
        keras_file.with_description,
        keras_file.opened,
        FLOAT32,
    ),
}
assert FORMATS.keys() == EXPORTED_FILES.keys()


def export(run: Run, dataset: Dataset, file_format: str = "onnx") -> Path:
    """Writes the model file of a run in one format, if it answers as the Keras model does.

    Args:
        run: trained and evaluated.
        dataset: the one that the run was trained on; its validation images are compared (`parity_sample`), its training
            images calibrate what is quantised.
        file_format: a key of `FORMATS`.

    Returns:
        The path of the file.

    Raises:
        RunError: a file that an earlier stage writes is missing or belongs to another state of the run, or the model
            takes age, sex or site, which files of this format cannot.
        ParityError: the exported model answers otherwise than model.keras; files of an older export stay.
    """
    metrics = read_json(run.metrics_json, EVALUATE_FIRST)
    _check_fresh(run, dataset, metrics)
    head = read_head(run)
    if head and not FORMATS[file_format].takes_clinical:
        able = ", ".join(name for name, made in FORMATS.items() if made.takes_clinical)
        names = ", ".join(variable.name for variable in head.variables)
        raise RunError(
            f"{run.directory} takes {names} beside the image, and {file_format} files have no input that may be left "
            f"out. Expected one of: {able}. Name one with --format, or train without --metadata."
        )
    model = load_model(run)
    spec, tapped = describe_network(run, dataset, metrics, model, head), tap(model)
    calibration = pixels_of(dataset, spread(dataset, "train", MAX_CALIBRATION_IMAGES))
    content = FORMATS[file_format].build(tapped, spec, calibration, head)
    path = run.exported(file_format)
    origins = [run.model_keras, run.operating_points_json, *([run.clinical_json] if head else [])]
    write_if_alike(
        path,
        run,
        file_format,
        content,
        spec,
        answer=partial(answers_of_keras, tapped, spec=spec, head=head),
        sample=parity_sample(dataset, spec.clinical),
        made_from={file.name: sha256_of(file) for file in origins},
    )
    return path


def write_if_alike(
    path: Path,
    run: Run,
    file_format: str,
    content: bytes,
    spec: ModelSpec,
    *,
    answer: Answering,
    sample: Sample,
    made_from: dict[str, str],
) -> None:
    """Adds description and golden answers to a file, and writes it with its parity, if it answers as it should.

    Args:
        path: of the file.
        run: whose `parity.json` gets an entry; entries of files that were made from something else are dropped.
        file_format: a key of `FORMATS`.
        content: the file without its description.
        spec: the description, without golden answers.
        answer: of the origin, as for `check_parity`.
        sample: the images to compare on.
        made_from: SHA-256 of the files that the export depends on, by name.

    Raises:
        ParityError: it answers otherwise than its origin; nothing is written.
    """
    made = FORMATS[file_format]
    spec = replace(spec, golden=golden_cases(made.opened(content), spec.image_size, any_size=made.resized is not None))
    about = spec.to_json()
    content = made.with_description(content, about)
    resized = partial(made.resized, content) if made.resized else None
    parity = check_parity(answer, made.opened(content), spec, sample, made.limits, resized)
    _check_readable(path, about)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        entry = {"file": path.name, "sha256": sha256_of(temporary), "made_from": made_from, **parity}
        entry["num_bytes"] = len(content)
        write_json(run.parity_json, {**_other_entries(run, made_from), file_format: entry})


def _check_readable(path: Path, about: str) -> None:
    """Refuses to write a file whose description Nevus would refuse, as of a licence with control characters."""
    try:
        parse_spec(about)
    except ModelFileError as problem:
        raise RunError(
            f"{path} was not written, because it could not be opened again: {problem} Look for the text or the number "
            "that is named there in config.json and run.json of the run."
        ) from None


def _other_entries(run: Run, made_from: dict[str, str]) -> dict[str, Any]:
    """What `parity.json` says of the files in other formats that are still there and were made from the same."""
    if not run.parity_json.exists():
        return {}
    hint = "Delete it, and run 'nevus export' again."
    entries = read_json(run.parity_json, hint)
    try:
        return {
            name: entry
            for name, entry in entries.items()
            if name in FORMATS and entry["made_from"] == made_from and run.exported(name).exists()
        }
    except (AttributeError, KeyError, TypeError):
        raise RunError(f"{run.parity_json} is damaged. {hint}") from None


def _check_fresh(run: Run, dataset: Dataset, metrics: dict[str, Any]) -> None:
    """Thresholds of an older training, or of other images, would make a file that lies about itself."""
    if dataset.fingerprint != run.record["dataset_fingerprint"]:
        raise RunError(
            f"{dataset.directory} is not the dataset that {run.directory} was trained on (its images, classes, "
            "splits or groups have changed). Name the right one, or run 'nevus train' again."
        )
    try:
        fingerprints = dict(metrics["fingerprints"]["predictions"])
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{run.metrics_json} is damaged. Run 'nevus evaluate' again.") from None
    for split, fingerprint in fingerprints.items():
        if sha256_of(run.predictions_csv(split)) != fingerprint:
            raise RunError(
                f"{run.predictions_csv(split)} has changed since {run.metrics_json.name} was made from it. "
                "Run 'nevus evaluate' again."
            )


def golden_cases(answer: Exported, image_size: int, *, any_size: bool) -> tuple[GoldenCase, ...]:
    """The answers of an exported model for the golden inputs: of its own size, and of others if it takes any size."""
    cases = []
    for height, width in golden_sizes(image_size) if any_size else [(image_size, image_size)]:
        answers = answer(golden_pixels(height, width)[None], 1)
        cases.append(GoldenCase(height, width, tuple(map(float, answers.probabilities[0])), float(answers.risk[0])))
    return tuple(cases)


def parity_sample(dataset: Dataset, variables: tuple[Variable, ...] = ()) -> Sample:
    """Up to `MAX_PARITY_IMAGES` images, spread evenly over the validation split, with the values of `variables`.

    Training images bring a small validation to `LEAST_PARITY_IMAGES`: whether two models agree is seen on any images.
    """
    rows = spread(dataset, "val", MAX_PARITY_IMAGES)
    if len(rows) < LEAST_PARITY_IMAGES:
        rows += spread(dataset, "train", LEAST_PARITY_IMAGES - len(rows))
    malignant = dataset.info.classes.malignant
    return Sample(
        pixels_of(dataset, rows),
        np.array([row.label in malignant for row in rows], dtype=bool),
        values_of_rows(rows, variables) if variables else None,
    )


def spread(dataset: Dataset, split: str, most: int) -> list[ManifestRow]:
    """At most `most` rows, spread evenly over a split."""
    rows = dataset.rows_of(split)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int))
    return [rows[index] for index in chosen]


def pixels_of(dataset: Dataset, rows: list[ManifestRow]) -> Pixels:
    """uint8 [N, S, S, 3], RGB: the images of rows."""
    return dataset.pixels[[row.pixel_index for row in rows]]

"""Export: from a run's trained network to one file that takes raw pixels and gives calibrated answers.

Reads `model.keras`, `operating_points.json`, `metrics.json` and the run's record. How a file is made is a row of
`formats`, what it says of itself is put together in `description`, and `gate` writes it; nothing is trained or chosen
here.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.files import sha256_of
from nevus.core.fingerprints import list_of, write_list
from nevus.core.runs import Run
from nevus.core.trained_images import trained_images, with_list
from nevus.core.versions import read_metrics_json
from nevus.learn.export.description import EVALUATE_FIRST, describe_network
from nevus.learn.export.familiarity_fit import familiarity_of
from nevus.learn.export.formats import FORMATS
from nevus.learn.export.gate import write_if_alike
from nevus.learn.export.parity import answers_of_keras
from nevus.learn.export.samples import calibration_images, parity_sample
from nevus.learn.keras_settings import own_settings
from nevus.learn.networks.activation_map import tap
from nevus.learn.networks.clinical_head import read_head
from nevus.learn.training.predict import load_model


@own_settings()
def export(run: Run, dataset: Dataset, file_format: str = "onnx") -> Path:
    """Writes the model file of a run in one format, if it answers as the Keras model does.

    Args:
        run: trained and evaluated.
        dataset: the one that the run was trained on; its validation images are compared (`parity_sample`), its training
            images calibrate what is quantised.
        file_format: a key of `FORMATS`.

    Returns:
        The path of the file. Next to it is the list of fingerprints of the images that it was trained on.

    Raises:
        RunError: a file that an earlier stage writes is missing or belongs to another state of the run, or the model
            takes age, sex or site, which files of this format cannot.
        ParityError: the exported model answers otherwise than model.keras; files of an older export stay.
    """
    metrics = read_metrics_json(run.metrics_json, EVALUATE_FIRST)
    _check_fresh(run, dataset, metrics)
    head = read_head(run)
    if head and not FORMATS[file_format].takes_clinical:
        able = ", ".join(name for name, made in FORMATS.items() if made.takes_clinical)
        names = ", ".join(variable.name for variable in head.variables)
        raise RunError(
            f"{run.directory} takes {names} in addition to the image, and {file_format} files have no input "
            f"that can be left out. Expected one of: {able}. Name one with --format, or train without --metadata."
        )
    model = load_model(run)
    known, tapped = trained_images([dataset]), tap(model)
    measure = familiarity_of(run, dataset) if FORMATS[file_format].tells_familiarity else None
    spec = with_list(describe_network(run, dataset, metrics, model, head), known)
    spec = replace(spec, familiarity=measure.limit if measure else None)
    content = FORMATS[file_format].build(tapped, spec, calibration_images(dataset), head, measure)
    path = run.exported(file_format)
    origins = [run.model_keras, run.operating_points_json, *([run.clinical_json] if head else [])]
    write_if_alike(
        path,
        run,
        file_format,
        content,
        spec,
        answer=partial(answers_of_keras, tapped, spec=spec, head=head, familiarity=measure),
        sample=parity_sample(dataset, spec.clinical),
        made_from={file.name: sha256_of(file) for file in origins},
    )
    write_list(list_of(path), known)
    return path


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

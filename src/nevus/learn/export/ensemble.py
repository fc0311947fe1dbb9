"""The ensemble of a cross-validation: the mean of the folds' calibrated answers, as predictions and as one file.

Reads the folds' `model.keras`, `model.onnx` and `operating_points.json`, and what the evaluation of
the cross-validation wrote. Networks are trained and thresholds chosen elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from nevus.core.chosen import read_chosen
from nevus.core.class_weights import log_weights
from nevus.core.clinical import Values
from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.files import read_json, sha256_of
from nevus.core.fingerprints import list_of, write_list
from nevus.core.model_onnx import read_description
from nevus.core.modelfile import FAMILIARITY, OUTPUTS, ModelSpec, parse_spec
from nevus.core.predictions import write_predictions
from nevus.core.preprocess import Pixels
from nevus.core.runs import Run
from nevus.core.trained_images import trained_images, with_list
from nevus.core.versions import CROSS_VALIDATION_JSON, read_versioned
from nevus.learn.export import onnx_graph
from nevus.learn.export.description import RUN_AGAIN, describe_ensemble
from nevus.learn.export.familiarity_fit import familiarity_of
from nevus.learn.export.gate import write_if_alike
from nevus.learn.export.parity import Answers, answers_of_keras
from nevus.learn.export.samples import parity_sample
from nevus.learn.keras_settings import own_settings
from nevus.learn.networks.activation_map import tap
from nevus.learn.training.predict import load_model, predict_split


@own_settings()
def predict_ensemble(run: Run, dataset: Dataset, split: str) -> None:
    """Writes `run.predictions_csv(split)`: the logarithms of the folds' mean probabilities, as logits.

    Their softmax gives the mean probabilities back, so their temperature is 1 and no class weights are left to undo.

    Args:
        run: of a cross-validation whose folds are evaluated.
        dataset: holds the split, of which no fold's model may have seen an image.
        split: such as a test split that the source gives.

    Raises:
        RunError: a fold lacks its model or its temperature.
        DataError: the split has no images.
    """
    members = [predict_split(load_model(fold), dataset, split)[0] for fold in run.folds]
    chosen = [read_chosen(fold.operating_points_json, RUN_AGAIN) for fold in run.folds]
    probabilities = np.mean(
        [
            replace(member, log_weights=log_weights(one.class_weights, member.classes)).probabilities(one.temperature)
            for member, one in zip(members, chosen, strict=True)
        ],
        axis=0,
    )
    # A probability that is too small for a float64 has no logarithm.
    logits = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    write_predictions(run.predictions_csv(split), replace(members[0], logits=logits))


@own_settings()
def export_ensemble(run: Run) -> Path:
    """Writes `ensemble.onnx`, a model file like any other, if it answers as the mean of the folds' Keras models.

    Args:
        run: of a cross-validation that is evaluated.

    Returns:
        The path of `ensemble.onnx`.

    Raises:
        RunError: a file that an earlier stage writes is missing, or belongs to another state of the run.
        ParityError: the file would answer otherwise than the Keras models; an older file stays.
    """
    validation = read_versioned(run.cross_validation_json, CROSS_VALIDATION_JSON, RUN_AGAIN)
    for split, fingerprint in validation["fingerprints"]["predictions"].items():
        _check_unchanged(run.predictions_csv(split), fingerprint)
    members = [_read_member(fold) for fold in run.folds]
    specs = [spec for _, spec in members]
    tells_familiarity = all(member.familiarity for member in specs)
    content = onnx_graph.average([model for model, _ in members]).SerializeToString()
    origins = [
        partial(
            answers_of_keras,
            tap(load_model(fold)),
            spec=member,
            familiarity=familiarity_of(fold, fold.dataset) if tells_familiarity else None,
        )
        for fold, member in zip(run.folds, specs, strict=True)
    ]

    def mean_answers(pixels: Pixels, values: Values | None = None) -> Answers:
        answers = [answer(pixels) for answer in origins]
        names = (*OUTPUTS, FAMILIARITY) if tells_familiarity else OUTPUTS
        return Answers(*(np.mean([getattr(a, name) for a in answers], axis=0) for name in names))

    known = trained_images([fold.dataset for fold in run.folds])
    write_if_alike(
        run.ensemble_onnx,
        run,
        "onnx",
        content,
        with_list(describe_ensemble(run, validation, specs), known),
        answer=mean_answers,
        sample=parity_sample(run.folds[0].dataset),
        made_from={f"{fold.name}/{fold.model_onnx.name}": sha256_of(fold.model_onnx) for fold in run.folds},
    )
    write_list(list_of(run.ensemble_onnx), known)
    return run.ensemble_onnx


def _read_member(fold: Run) -> tuple[onnx.ModelProto, ModelSpec]:
    """A fold's model file, which must be the one that its parity was measured on."""
    _check_unchanged(fold.model_onnx, read_json(fold.parity_json, RUN_AGAIN)["onnx"]["sha256"])
    return onnx.load(fold.model_onnx), parse_spec(read_description(fold.model_onnx.read_bytes()))


def _check_unchanged(path: Path, fingerprint: str) -> None:
    if not path.exists() or sha256_of(path) != fingerprint:
        raise RunError(f"{path} is missing, or has changed since it was exported or evaluated. {RUN_AGAIN}")

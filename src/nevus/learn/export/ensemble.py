"""The ensemble of a cross-validation: the mean of the folds' calibrated answers, as predictions and as one file.

Reads the folds' `model.keras`, `model.onnx` and `operating_points.json`, and what the evaluation of
the cross-validation wrote. Networks are trained and thresholds chosen elsewhere.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from nevus.core.clinical import Values
from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.files import read_json, sha256_of
from nevus.core.modelfile import DESCRIPTION_KEY, ModelSpec, parse_spec
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import write_predictions
from nevus.core.preprocess import Pixels
from nevus.core.runs import Run
from nevus.core.triage import Triage
from nevus.learn.export import onnx_graph
from nevus.learn.export.export import figures_of_test, parity_sample, write_if_alike
from nevus.learn.export.parity import Answers, answers_of_keras
from nevus.learn.networks.activation_map import tap
from nevus.learn.training.predict import load_model, predict_split

_RUN_AGAIN = "Run the cross-validation again with --resume."


def predict_ensemble(run: Run, dataset: Dataset, split: str) -> None:
    """Writes `run.predictions_csv(split)`: the logarithms of the folds' mean probabilities, as logits.

    Their softmax gives the mean probabilities back, so their temperature is 1.

    Args:
        run: of a cross-validation whose folds are evaluated.
        dataset: holds the split, of which no fold's model may have seen an image.
        split: such as a test split that the source gives.

    Raises:
        RunError: a fold lacks its model or its temperature.
        DataError: the split has no images.
    """
    members = [predict_split(load_model(fold), dataset, split)[0] for fold in run.folds]
    temperatures = [_temperature(fold) for fold in run.folds]
    probabilities = np.mean([member.probabilities(t) for member, t in zip(members, temperatures, strict=True)], axis=0)
    # A probability that is too small for a float64 has no logarithm.
    logits = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    write_predictions(run.predictions_csv(split), replace(members[0], logits=logits))


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
    members = [_read_member(fold) for fold in run.folds]
    specs = [spec for _, spec in members]
    content = onnx_graph.average([model for model, _ in members]).SerializeToString()
    origins = [
        partial(answers_of_keras, tap(load_model(fold)), spec=member)
        for fold, member in zip(run.folds, specs, strict=True)
    ]

    def mean_answers(pixels: Pixels, values: Values | None = None) -> Answers:
        answers = [answer(pixels) for answer in origins]
        return Answers(
            *(np.mean([getattr(a, name) for a in answers], axis=0) for name in ("probabilities", "risk", "heatmap"))
        )

    write_if_alike(
        run.ensemble_onnx,
        run,
        "onnx",
        content,
        _make_spec(run, specs),
        answer=mean_answers,
        sample=parity_sample(run.folds[0].dataset),
        made_from={f"{fold.name}/{fold.model_onnx.name}": sha256_of(fold.model_onnx) for fold in run.folds},
    )
    return run.ensemble_onnx


def _read_member(fold: Run) -> tuple[onnx.ModelProto, ModelSpec]:
    """A fold's model file, which must be the one that its parity was measured on."""
    _check_unchanged(fold.model_onnx, read_json(fold.parity_json, _RUN_AGAIN)["onnx"]["sha256"])
    model = onnx.load(fold.model_onnx)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    return model, parse_spec(properties[DESCRIPTION_KEY])


def _check_unchanged(path: Path, fingerprint: str) -> None:
    if not path.exists() or sha256_of(path) != fingerprint:
        raise RunError(f"{path} is missing, or has changed since it was exported or evaluated. {_RUN_AGAIN}")


def _temperature(fold: Run) -> float:
    return float(read_json(fold.operating_points_json, _RUN_AGAIN)["temperature"])


def _make_spec(run: Run, members: list[ModelSpec]) -> ModelSpec:
    validation = read_json(run.cross_validation_json, _RUN_AGAIN)
    chosen = read_json(run.operating_points_json, _RUN_AGAIN)
    for split, fingerprint in validation["fingerprints"]["predictions"].items():
        _check_unchanged(run.predictions_csv(split), fingerprint)
    record, info = run.record, run.dataset_info
    ensemble = validation["ensemble"]
    networks = " and ".join(dict.fromkeys(member.network for member in members))
    return ModelSpec(
        network=f"ensemble of {len(members)} {networks}",
        num_parameters=sum(member.num_parameters for member in members),
        image_size=info.image_size,
        classes=info.classes,
        # Each network has its own, before the mean.
        temperature=float(chosen["temperature"]),
        operating_points=tuple(map(OperatingPoint.from_json, chosen["operating_points"])),
        default_operating_point=str(chosen["default"]),
        triage=Triage.from_json(chosen["triage"]),
        assumed_prevalence=float(chosen["assumed_prevalence"]),
        test_metrics=figures_of_test(ensemble) if "test" in ensemble["splits"] else {},
        trained_on=_describe_training(run, len(members)),
        generated=info.generated,
        provenance={
            "run": run.name,
            "started": record["started"],
            "dataset_fingerprint": record["dataset_fingerprint"],
            "temperatures": [member.temperature for member in members],
            "folds": [member.provenance for member in members],
            "out_of_fold": validation["out_of_fold"],
            "over_folds": validation["over_folds"],
            "config": read_json(run.config_json, _RUN_AGAIN),
            "environment": record["environment"],
        },
        licence=members[0].licence,
    )


def _describe_training(run: Run, num_folds: int) -> str:
    counts: Counter[str] = Counter()
    for fold in run.folds:
        counts.update(fold.record["split_counts"]["test"])
    by_class = ", ".join(f"{counts[name]:,} {name}" for name in run.dataset_info.classes.names)
    names = ", ".join(source.name for source in run.dataset_info.sources)
    return f"{names}: {counts.total():,} images ({by_class}) in {num_folds} folds; each network left one fold out"

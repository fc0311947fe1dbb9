"""Export: from a run's trained network to one file that takes raw pixels and gives calibrated answers.

Reads `model.keras`, `operating_points.json`, `metrics.json` and the run's record; writes
`model.onnx` and `parity.json`, both or neither. The graph's nodes are built in `onnx_graph`,
its agreement with Keras is measured in `parity`; nothing is trained or chosen here.
"""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx

from nevus.core.config import config_from_json
from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.files import read_json, replacing, sha256_of, write_json
from nevus.core.manifest import name_licences
from nevus.core.modelfile import METADATA_KEY, GoldenCase, ModelSpec, golden_pixels, licence_of_weights
from nevus.core.operating_point import OperatingPoint
from nevus.core.preprocess import Pixels
from nevus.core.runs import Run
from nevus.core.triage import Triage
from nevus.learn import onnx_graph
from nevus.learn.activation_map import tap
from nevus.learn.networks import LOGITS
from nevus.learn.parity import answers_of_keras, answers_of_onnx, check_parity, golden_sizes, open_session
from nevus.learn.predict import load_model

# Enough to show a difference, few enough to take seconds.
MAX_PARITY_IMAGES = 256

_EVALUATE_FIRST = "Run 'nevus evaluate' first."


def export_onnx(run: Run, dataset: Dataset) -> Path:
    """Writes the model file of a run, if it answers as the Keras model does.

    Args:
        run: trained and evaluated.
        dataset: the one that the run was trained on; its validation images are compared.

    Returns:
        The path of `model.onnx`.

    Raises:
        RunError: a file that an earlier stage writes is missing or belongs to another state of the run.
        ParityError: the exported model answers otherwise than model.keras; files of an older export stay.
    """
    metrics = read_json(run.metrics_json, _EVALUATE_FIRST)
    _check_fresh(run, dataset, metrics)
    model = load_model(run)
    spec = _make_spec(run, dataset, metrics, model)
    tapped = tap(model)
    exported = onnx_graph.compose(
        convert(tapped, spec.image_size),
        image_size=spec.image_size,
        classes=spec.classes,
        class_weights=keras.ops.convert_to_numpy(model.get_layer(LOGITS).kernel),
        temperature=spec.temperature,
    )
    spec = replace(spec, golden=golden_cases(exported, spec.image_size))
    onnx.helper.set_model_props(exported, {METADATA_KEY: spec.to_json()})
    parity = check_parity(partial(answers_of_keras, tapped, spec=spec), exported, spec, validation_pixels(dataset))
    with replacing(run.model_onnx) as temporary:
        onnx.save(exported, temporary)
        write_json(run.parity_json, {"model_onnx_sha256": sha256_of(temporary), **parity})
    return run.model_onnx


def convert(model: keras.Model, image_size: int) -> onnx.ModelProto:
    """Converts a Keras model by tf2onnx, with any number of images in a batch.

    Args:
        model: from float32 [N, S, S, 3] to a dictionary of tensors, which become the graph's outputs.
        image_size: S in pixels.
    """
    # Keras exports what a call has traced.
    model(np.zeros((1, image_size, image_size, 3), dtype=np.float32))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # tf2onnx probes NumPy names that are deprecated; nothing a user could mend.
        warnings.simplefilter("ignore", FutureWarning)
        path = Path(folder) / "network.onnx"
        model.export(path, format="onnx", verbose=False, opset_version=onnx_graph.OPSET)
        return onnx.load(path)


def _check_fresh(run: Run, dataset: Dataset, metrics: dict[str, Any]) -> None:
    """Thresholds of an older training, or of other images, would make a file that lies about itself."""
    if dataset.fingerprint != run.record["dataset_fingerprint"]:
        raise RunError(
            f"{dataset.directory} is not the dataset that {run.directory} was trained on (its images, classes, "
            "splits or groups have changed). Name the right one, or run 'nevus train' again."
        )
    for split, fingerprint in metrics["fingerprints"]["predictions"].items():
        if sha256_of(run.predictions_csv(split)) != fingerprint:
            raise RunError(
                f"{run.predictions_csv(split)} has changed since {run.metrics_json.name} was made from it. "
                "Run 'nevus evaluate' again."
            )


def _make_spec(run: Run, dataset: Dataset, metrics: dict[str, Any], model: keras.Model) -> ModelSpec:
    chosen = read_json(run.operating_points_json, _EVALUATE_FIRST)
    config = config_from_json(read_json(run.config_json, "Run 'nevus train' first."))
    record = run.record
    info = run.dataset_info
    try:
        return ModelSpec(
            network=str(record["training"]["network"]),
            num_parameters=model.count_params(),
            image_size=info.image_size,
            classes=info.classes,
            temperature=float(chosen["temperature"]),
            operating_points=tuple(map(OperatingPoint.from_json, chosen["operating_points"])),
            default_operating_point=str(chosen["default"]),
            triage=Triage.from_json(chosen["triage"]),
            assumed_prevalence=float(chosen["assumed_prevalence"]),
            test_metrics=figures_of_test(metrics),
            trained_on=_describe_training(record, [source.name for source in info.sources]),
            generated=info.generated,
            provenance={
                "run": run.name,
                "started": record["started"],
                "dataset_fingerprint": record["dataset_fingerprint"],
                "split_counts": record["split_counts"],
                "training": record["training"],
                "config": config.to_json(),
                "environment": record["environment"],
            },
            licence=licence_of_weights(config.licence, name_licences(dataset.rows_of("train"))),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise RunError(
            f"{run.directory}: run.json, operating_points.json or metrics.json lacks a field or holds a wrong one "
            f"({type(problem).__name__}: {problem}). Run 'nevus evaluate' again."
        ) from None


def figures_of_test(metrics: dict[str, Any]) -> dict[str, list[float | None]]:
    """The figures of the test split by name: 'roc_auc', 'sensitivity at youden', 'roc_auc without leaks'."""
    figures: dict[str, Any] = {}
    for split, suffix in (("test", ""), ("test_without_leaks", " without leaks")):
        if split not in metrics["splits"]:
            continue
        scores = metrics["splits"][split]
        figures |= {f"{name}{suffix}": item for name, item in scores.items() if isinstance(item, dict)}
        for point in metrics["operating_points"]:
            for name in ("sensitivity", "specificity"):
                figures[f"{name} at {point['name']}{suffix}"] = point[split][name]
    return {name: [item["value"], item["low"], item["high"]] for name, item in figures.items()}


def _describe_training(record: dict[str, Any], sources: list[str]) -> str:
    counts = record["split_counts"]["train"]
    by_class = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{', '.join(sources)}: {sum(counts.values()):,} training images ({by_class})"


def golden_cases(exported: onnx.ModelProto, image_size: int) -> tuple[GoldenCase, ...]:
    """The answers of a composed graph for the golden inputs of an image size."""
    session = open_session(exported)
    cases = []
    for height, width in golden_sizes(image_size):
        answers = answers_of_onnx(session, golden_pixels(height, width)[None], 1)
        cases.append(GoldenCase(height, width, tuple(map(float, answers.probabilities[0])), float(answers.risk[0])))
    return tuple(cases)


def validation_pixels(dataset: Dataset) -> Pixels:
    """Up to `MAX_PARITY_IMAGES` images, spread evenly over the validation split."""
    rows = dataset.rows_of("val")
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_PARITY_IMAGES)).round().astype(int))
    return dataset.pixels[[rows[index].pixel_index for index in chosen]]

"""`nevus.validate`: a finished model on labelled images from elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nevus.core.config import DEFAULTS, Config
from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.extras import check_installed
from nevus.core.files import sha256_of, write_json
from nevus.core.predictions import write_predictions
from nevus.pipeline import known_images, validation_images
from nevus.pipeline.stages import paths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nevus.core.modelfile import ModelSpec
    from nevus.core.preprocess import Pixels

_log = logging.getLogger(__name__)


class ValidationFiles:
    """Typed paths of what a validation writes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.dataset = directory / "dataset"
        self.predictions_csv = directory / "predictions.csv"
        self.metrics_json = directory / "metrics.json"
        self.page_html = directory / "validation.html"

    def check(self, overwrite: bool) -> None:
        """Checks that the folder has room for a validation.

        Raises:
            RunError: it holds a run, or a validation and that is not to be overwritten.
        """
        if (self.directory / "run.json").exists():
            raise RunError(
                f"{self.directory} holds a run, whose metrics would be lost. Name another folder with --out."
            )
        if self.metrics_json.exists() and not overwrite:
            raise RunError(
                f"{self.directory} holds a validation already. Name another folder with --out, or replace it with "
                "--overwrite."
            )


def validate(
    model: str | Path,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    config: Config = DEFAULTS,
    *,
    operating_point: str | None = None,
    floors: dict[str, float] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Judges a model on labelled images from elsewhere, as `nevus validate` does; docs/validate.md.

    Nothing is fitted on the images but the thresholds that would have been needed, which are said to be so.

    Args:
        model: the name of a shipped model, a model.onnx that `nevus export` wrote, or a run's folder.
        data: what `nevus prepare` reads, one source or several; or one dataset that is prepared already.
        out: folder for `validation.html`, `metrics.json`, `predictions.csv` and the prepared images.
        config: the options of preparation (not the image size and the classes, which are the model's), `bootstrap`,
            `seed` and `prevalence`.
        operating_point: the name of the one that decides; the model's default if None.
        floors: least values by metric, such as `{"roc_auc": 0.8}`; what is below is listed in `shortfalls`.
        overwrite: replace the validation that is there.

    Returns:
        What was written to `metrics.json`, undefined metrics as NaN, and `shortfalls`, a phrase for each metric that is
        below its floor.

    Raises:
        ModelFileError: the model cannot be used, or has no such operating point.
        DataError: the images cannot be understood, or none can be used; `dataset/rejected.csv` has the reasons.
        RunError: the folder holds a run, or a validation that is not to be overwritten.
        ConfigError: there is no metric of the name of a floor.
        ModuleNotFoundError: a package that it needs is not installed.
    """
    check_installed("assess")
    from nevus.assess.evaluation import floors as least
    from nevus.assess.evaluation import validation
    from nevus.assess.pages.validation_page import write_validation_page
    from nevus.assess.sections.metric import Sampling
    from nevus.serve.predictor import load

    predictor, files = load(model), ValidationFiles(Path(out))
    spec = predictor.spec
    point = spec.operating_point(operating_point).name
    wanted = least.floors_of(spec, floors or {}, point)
    files.check(overwrite)
    dataset = validation_images.dataset_of(paths(data), files.dataset, spec, config, overwrite=overwrite)
    labelled = validation_images.label(dataset, spec.classes)
    values, notes = validation_images.clinical_values(dataset.rows, spec)
    notes += [*validation_images.describe_labels(labelled), *_describe_size(dataset, spec), *_describe_origin(spec)]

    _log.info("Predicting %s images", f"{len(dataset.rows):,}")
    seen = known_images.fingerprints_of(dataset)
    groups = known_images.groups_of(dataset.rows, seen)
    trained_on = known_images.trained_on(dataset, groups, seen, spec, predictor.path)
    predictions, uncalibrated = validation_images.predict(predictor, dataset, labelled, groups, values)
    predictions = replace(predictions, also_in=trained_on.also_in)
    write_predictions(files.predictions_csv, predictions)

    _log.info("Comparing with the development of the model")
    result = validation.validate(
        spec,
        predictions,
        uncalibrated,
        validation.Asked(point, Sampling(config.bootstrap, config.seed), config.prevalence),
        model=_describe_model(predictor.path, spec),
        data=_describe_data(dataset, trained_on),
        fingerprints={
            "dataset": dataset.fingerprint,
            "model": sha256_of(predictor.path),
            "predictions": {"test": sha256_of(files.predictions_csv)},
        },
        generated=dataset.info.generated or spec.generated,
        notes=notes,
    )
    write_json(files.metrics_json, result)

    def look(rows: Sequence[int]) -> tuple[list[Pixels], list[NDArray[np.float32] | None]]:
        pixels = [dataset.pixels[dataset.rows[row].pixel_index] for row in rows]
        return pixels, [one.heatmap for one in validation_images.answers(predictor, dataset, rows, values, True)]

    _log.info("Writing the page")
    write_validation_page(files.page_html, result, predictions, look)
    return {**result, "shortfalls": least.shortfalls(result, wanted)}


def _describe_size(dataset: Dataset, spec: ModelSpec) -> list[str]:
    if dataset.info.image_size == spec.image_size:
        return []
    return [
        f"the images were prepared at {dataset.info.image_size} pixels and resized again to the model's "
        f"{spec.image_size}; name their sources to go the model's own way"
    ]


def _describe_origin(spec: ModelSpec) -> list[str]:
    if not spec.is_adapted:
        return []
    return [
        "the model was adapted to a place: its metrics of the development test are those by cross-fitting on the "
        "images of that place"
    ]


def _describe_model(path: Path, spec: ModelSpec) -> dict[str, Any]:
    counts = spec.provenance.get("split_counts", {})
    return {
        "file": path.name,
        "network": spec.network,
        "num_parameters": spec.num_parameters,
        "image_size": spec.image_size,
        "trained_on": spec.trained_on,
        "generated": spec.generated,
        "licence": spec.licence,
        "clinical": [variable.name for variable in spec.clinical],
        "assumed_prevalence": spec.assumed_prevalence,
        "test_counts": counts.get("test", {}) if isinstance(counts, dict) else {},
    }


def _describe_data(dataset: Dataset, trained_on: known_images.TrainedOn) -> dict[str, Any]:
    info = dataset.info
    return {
        "sources": [{"name": source.name, "kind": source.kind} for source in info.sources],
        "generated": info.generated,
        "num_rejected": info.num_rejected,
        "licences": sorted({row.licence for row in dataset.rows} - {""}),
        "trained_on": trained_on.to_json(),
    }

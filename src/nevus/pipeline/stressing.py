"""`nevus.stress`: how a model's answers change under changes that cameras and clinics make."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nevus.core.config import DEFAULTS, Config
from nevus.core.errors import ConfigError, RunError
from nevus.core.extras import check_installed
from nevus.core.files import finite, sha256_of, write_json
from nevus.core.image_changes import CHANGES
from nevus.core.runs import Run
from nevus.core.shipped import run_of
from nevus.core.split_names import SPLIT_NAMES
from nevus.core.terminal import progress
from nevus.pipeline.stages import paths
from nevus.pipeline.stress_images import StressImages, stress_images
from nevus.pipeline.validation_images import clinical_values, resized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nevus.core.clinical import Values
    from nevus.core.preprocess import Pixels
    from nevus.serve.predictor import Predictor

NUM_IMAGES = 500

# Of each kind, to show each change on.
_NUM_PICTURED = 1

_log = logging.getLogger(__name__)


def stress(
    model: str | Path,
    data: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    config: Config = DEFAULTS,
    *,
    num_images: int = NUM_IMAGES,
    split: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Tests a model on images that are changed as cameras and clinics change them; docs/stress.md.

    Args:
        model: the name of a shipped model, a model.onnx that `nevus export` wrote, or a run's folder.
        data: what `nevus prepare` reads, one source or several; one dataset that is prepared already; or a run's
            folder, for its dataset.
        out: folder for `stress.json` and `stress.html`; the folder of the run that the model is in, where `nevus
            report` finds them, if None.
        config: the options of preparation (not the image size and the classes, which are the model's) and `seed`.
        num_images: the most images to look at, drawn by groups with the shares of benign and malignant as they are; 0
            for all.
        split: `train`, `val`, `test` or `all`; if None the test, or all images where no split is made.
        overwrite: replace the stress test that is there.

    Returns:
        What was written to `stress.json`: `unchanged`, `changes` with the most flips first, and `mean`, each metric
        with `value`, `low` and `high`, None if undefined; and on what.

    Raises:
        ConfigError: a number or the split is out of range, or no folder is named and the model is in no run's.
        ModelFileError: the model cannot be used.
        DataError: the images cannot be understood, none can be used, or they are all benign or all malignant.
        RunError: the folder holds a stress test, or other images would be prepared in the folder of a run.
        ModuleNotFoundError: a package that it needs is not installed.
    """
    check_installed("assess")
    if num_images < 0:
        raise ConfigError(f"--images: expected a number, or 0 for all. Received: {num_images}.")
    if split is not None and split not in SPLIT_NAMES:
        raise ConfigError(f"--split: expected one of {', '.join(SPLIT_NAMES)}. Received: '{split}'.")
    from nevus.assess.pages.stress_page import write_stress_page
    from nevus.assess.probing.stress import stress as measure
    from nevus.serve.predictor import load

    files = Run(folder_of(model, out))
    if files.stress_json.exists() and not overwrite:
        raise RunError(
            f"{files.directory} holds a stress test already. Name another folder with --out, or replace it with "
            "--overwrite."
        )
    predictor = load(model)
    spec = predictor.spec
    images = stress_images(
        spec, paths(data), files.directory, config, num_images=num_images, split=split, overwrite=overwrite
    )
    values, notes = clinical_values(images.rows, spec)
    for note in notes:
        _log.warning("%s.", note)
    _log.info("Changing %s images in %d ways", f"{len(images.rows):,}", len(CHANGES))
    risks = _risks(predictor, images, values)
    changed = {change.name: of_change for change, of_change in zip(CHANGES, risks[1:], strict=True)}
    measured = measure(risks[0], changed, images.is_malignant, images.groups, spec.operating_point().threshold)
    pictured = _pictured(images)
    result: dict[str, Any] = finite(
        {
            **measured,
            "model": predictor.path.name,
            "model_sha256": sha256_of(predictor.path),
            "operating_point": spec.operating_point().name,
            "image_size": spec.image_size,
            "data": ", ".join(source.name for source in images.dataset.info.sources),
            "dataset_fingerprint": images.dataset.fingerprint,
            "generated": images.dataset.info.generated or spec.generated,
            "split": images.split,
            "num_available": images.num_available,
            "seed": config.seed,
            "notes": notes,
            "pictured": [images.rows[place].image_id for place in pictured],
        }
    )
    write_json(files.stress_json, result)
    _log.info("Writing the page")
    write_stress_page(files.stress_html, result, [_pixels(images, place, spec.image_size) for place in pictured])
    return result


def folder_of(model: str | Path, out: str | Path | None = None) -> Path:
    """The folder that `stress` writes to.

    Raises:
        ConfigError: none is named, and the model is not in the folder of a run.
    """
    if out is not None:
        return Path(out)
    run = run_of(model)
    if run is None:
        raise ConfigError("--out: expected a folder for the result. The model file is not inside a run folder.")
    return run.directory


def _risks(predictor: Predictor, images: StressImages, values: Values | None) -> NDArray[np.float64]:
    """The risks of the images as they are and after each change, float64 [1 + changes, N]; a thread for each core."""
    from nevus.serve.stream import in_threads

    num_images, size = len(images.rows), predictor.spec.image_size
    # An image with all its changes after one another, so that its pixels are read once.
    asked = [(place, way) for place in range(num_images) for way in range(1 + len(CHANGES))]

    def change(one: tuple[int, int]) -> tuple[int, Pixels]:
        place, way = one
        pixels = _pixels(images, place, size)
        return place, CHANGES[way - 1].apply(pixels, images.rows[place].image_id) if way else pixels

    def score(batch: list[tuple[int, Pixels]]) -> list[float]:
        places = [place for place, _ in batch]
        pixels = np.stack([pixels for _, pixels in batch])
        return [float(one.risk) for one in predictor.answer(pixels, False, None if values is None else values[places])]

    scored: Iterator[float] = in_threads(iter(asked), change, score, predictor.batch_size)
    risks = np.fromiter(progress(scored, total=len(asked), label="Stressing"), dtype=np.float64, count=len(asked))
    return np.ascontiguousarray(risks.reshape(num_images, -1).T)


def _pixels(images: StressImages, place: int, image_size: int) -> Pixels:
    return resized(images.dataset.pixels[images.rows[place].pixel_index], image_size)


def _pictured(images: StressImages) -> list[int]:
    """The places of the images on which each change is shown: the first benign and the first malignant one."""
    kinds = (np.flatnonzero(images.is_malignant == kind) for kind in (False, True))
    return [int(place) for of_kind in kinds for place in of_kind[:_NUM_PICTURED]]

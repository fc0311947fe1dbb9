"""`nevus.explain`: for each image, a picture of what raises its risk and what lowers it.

Owns the folder of pictures and its `index.csv`. The class activation map comes from the model file alone; the other
methods need the run's network and TensorFlow.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nevus.core.errors import ConfigError, ImageError, RunError
from nevus.core.files import replacing
from nevus.core.shipped import run_of
from nevus.core.terminal import printable
from nevus.core.vocabulary import CAM, EXPLANATION_METHODS
from nevus.pipeline.stages import paths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nevus.core.preprocess import Pixels
    from nevus.serve.prediction import Prediction
    from nevus.serve.predictor import Predictor

_BATCH = 16
# The disclaimer in the space of a picture.
_DISCLAIMER = "Research and education only, not a medical device."


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of one image: a row of `index.csv`.

    Attributes:
        file: the image.
        picture: name of its picture in the folder; this and all that follows None if the image could not be used.
        risk: in [0, 1].
        decision: 'malignant' or 'benign'.
        operating_point: at which it was decided.
        method: of the map.
        scale: log-odds that have the full colour.
        error: why the image could not be used; else None.
    """

    file: str
    picture: str | None = None
    risk: float | None = None
    decision: str | None = None
    operating_point: str | None = None
    method: str | None = None
    scale: float | None = None
    error: str | None = None


def explain(
    model: str | Path,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    method: str | None = None,
    layer: str | None = None,
    scale: float | None = None,
) -> list[Explanation]:
    """Writes a picture with its heatmap for each image, and index.csv, as `nevus explain` does.

    Args:
        model: the folder of a run, a model.onnx that `nevus export` wrote, or the name of a shipped model.
        images: an image file, a folder of them, or several of these.
        out: folder for the pictures, made if it is not there. It must not hold images that are to be explained.
        method: `cam`, from the model file alone; or `grad-cam`, `grad-cam++` or `integrated-gradients`, which need
            the run and TensorFlow. `cam` if None, or `grad-cam` where a layer is named.
        layer: name of the layer to explain at; the last with a map if None.
        scale: log-odds that have the full colour, above 0; each image's own largest if None.

    Returns:
        What became of each image, in order. One that could not be used has an `error`; the others are done.

    Raises:
        ConfigError: an argument cannot be used, or no such method or layer exists.
        DataError: there are no images.
        ModelFileError: the model file cannot be used.
        RunError: the method needs a run, and the model is not in a run's folder.
    """
    folder, sources = Path(out), paths(images)
    method = method or ("grad-cam" if layer else CAM)
    _check(method, layer, scale)
    _check_apart(folder, sources)
    from nevus.serve.image_files import find_images
    from nevus.serve.predictor import load

    predictor = load(model)
    maps_of = None if method == CAM else _gradient_maps(model, predictor, method, layer)
    folder.mkdir(parents=True, exist_ok=True)
    # Pictures of an earlier call are not images to explain.
    found = find_images(sources, but=folder)
    title = f"{method}{f' at {layer}' if layer else ''}, log-odds of malignant. {_DISCLAIMER}"
    explained = (
        _explain(number, path, answer, folder, method, title, scale)
        for number, (path, answer) in enumerate(_answers(predictor, maps_of, found), start=1)
    )
    return _indexed(explained, folder / "index.csv")


def _check(method: str, layer: str | None, scale: float | None) -> None:
    if method not in EXPLANATION_METHODS:
        raise ConfigError(f"--method: expected one of {', '.join(EXPLANATION_METHODS)}. Received: '{method}'.")
    if method == CAM and layer:
        raise ConfigError("--layer: CAM is only defined for the last layer. Choose another --method.")
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise ConfigError(f"--scale: expected a number above 0. Received: {scale}.")


def _check_apart(out: Path, images: Iterable[Path]) -> None:
    """Refuses to write pictures among the images: no one could tell them apart the next time."""
    folder = out.resolve()
    for given in images:
        if folder == given.resolve() or folder in given.resolve().parents:
            raise ConfigError(f"--out: {out} holds images that are to be explained. Expected another folder.")


def _gradient_maps(
    model: str | Path, predictor: Predictor, method: str, layer: str | None
) -> Callable[[Pixels], NDArray[np.floating]]:
    run = run_of(model)
    if run is None:
        raise RunError(
            f"{model} is not inside a run folder. The method {method} needs the run's model.keras: name the run, "
            f"or use --method {CAM}."
        )
    from nevus.learn.explanation.gradcam import explainer
    from nevus.learn.training.predict import load_model

    return explainer(load_model(run), predictor.spec.classes, method, layer)


def _answers(
    predictor: Predictor, maps_of: Callable[[Pixels], NDArray[np.floating]] | None, paths: Iterator[Path]
) -> Iterator[tuple[Path, Prediction]]:
    """Each image with its prediction and heatmap, a few at a time."""
    from nevus.serve.images import to_pixels

    while batch := list(islice(paths, _BATCH)):
        # Unchecked: it shows what the model looks at, also where it should not have been asked.
        answers = predictor.predict(batch, heatmap=True, check=False)
        good = [path for path, answer in zip(batch, answers, strict=True) if answer.error is None]
        if maps_of is not None and good:
            maps = iter(maps_of(np.stack([to_pixels(path, predictor.spec.image_size, check=False) for path in good])))
            answers = [answer if answer.error else replace(answer, heatmap=next(maps)) for answer in answers]
        yield from zip(batch, answers, strict=True)


def _explain(
    number: int, path: Path, answer: Prediction, folder: Path, method: str, title: str, scale: float | None
) -> Explanation:
    """Writes the picture of an image that could be used."""
    if answer.error is not None or answer.heatmap is None:
        return Explanation(answer.source, error=str(answer.error))
    from nevus.core.overlay import side_by_side
    from nevus.core.preprocess import decode

    decision = "malignant" if answer.decision else "benign"
    full = float(np.abs(answer.heatmap).max()) if scale is None else scale
    heading = f"{printable(path.name[:60])}: risk {answer.risk:.3f}, {decision} at {answer.operating_point}"
    picture = f"{number:05d}-{_shortened(path.stem)}.png"
    try:
        image = decode(path)
    except ImageError as problem:  # It was there a moment ago.
        return Explanation(answer.source, error=str(problem))
    with replacing(folder / picture) as temporary:
        side_by_side(image, answer.heatmap, full, [heading, title]).save(temporary, "PNG")
    return Explanation(answer.source, picture, answer.risk, decision, answer.operating_point, method, full)


def _shortened(name: str) -> str:
    """As much of a name as leaves room for a number and a suffix, in bytes, without what a table would break at."""
    text = os.fsencode(name)[:100].decode("utf-8", "ignore")
    return "".join(character if character.isprintable() else "_" for character in text)


def _indexed(explanations: Iterable[Explanation], index_csv: Path) -> list[Explanation]:
    """Writes a row for each explanation; the table is there once all are."""
    from nevus.core.terminal import progress
    from nevus.serve.output import cell

    rows = []
    with replacing(index_csv) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(column.name for column in fields(Explanation))
        for row in progress(explanations, total=None, label="Explaining"):
            writer.writerow(map(cell, astuple(row)))
            rows.append(row)
    return rows

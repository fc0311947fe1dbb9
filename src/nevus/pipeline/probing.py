"""`nevus.probe`: whether a model's heatmaps are true, and whether its risk rests on the lesion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nevus.core.errors import ConfigError
from nevus.core.extras import check_installed
from nevus.core.files import finite, sha256_of, write_json
from nevus.core.shipped import find_model, run_of
from nevus.pipeline.probe_images import outlined_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nevus.core.preprocess import Pixels
    from nevus.serve.prediction import Answer

# Networks with random weights are asked for the first images alone.
_RANDOMISED_IMAGES = 64


def probe(
    model: str | Path, data: str | Path, out: str | Path | None = None, *, num_images: int = 400, seed: int = 0
) -> dict[str, Any]:
    """Tests heatmaps and risk on images with lesion masks, as `nevus probe` does; docs/explain.md explains each test.

    Args:
        model: the folder of a run, a model.onnx that `nevus export` wrote, or the name of a shipped model. The maps of
            networks with random weights need a run and TensorFlow, and are left out of the outcome for a model alone.
        data: folder of images with masks: HAM10000, or phantoms. Those that the run was trained or validated on are
            left out.
        out: file for the outcome; `probe.json` in the folder of the run, where `nevus report` finds it, if None.
        num_images: most images to look at, half of them malignant; 2 or more.
        seed: of the choice of images and of the noise.

    Returns:
        What was written: `heat`, `randomised` and `artefacts`, each metric with `value`, `low` and `high`, None if
        undefined; and on what.

    Raises:
        ConfigError: a number is out of range, or there is no file for the outcome.
        ModuleNotFoundError: a package that it needs is not installed.
        DataError: there are no outlined images of both kinds that the model was not trained on.
        ModelFileError: the model file cannot be used.
    """
    if num_images < 2:
        raise ConfigError(f"--num-images: expected 2 or more, one of each kind. Received: {num_images}.")
    if seed < 0:
        raise ConfigError(f"--seed: expected 0 or more. Received: {seed}.")
    run, file = run_of(model), outcome_file(model, out)
    if run and run.model_keras.exists():
        check_installed("train")
    from nevus.assess.probing.probe import probe as probe_model
    from nevus.serve.predictor import load
    from nevus.serve.stream import in_threads

    predictor = load(model)
    spec = predictor.spec
    images, described = outlined_images(Path(data), run, image_size=spec.image_size, num_images=num_images, seed=seed)

    def answer(pixels: Pixels) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        # Straight to the model: a changed image may show nothing any more, which `predict_many` would reject.
        answers = list(in_threads(iter(pixels), _as_it_is, score, predictor.batch_size))
        return np.array([one.risk for one in answers]), np.array([one.heatmap for one in answers])

    def score(batch: list[Pixels]) -> list[Answer]:
        return list(predictor.answer(np.stack(batch), heatmap=True))

    randomised: Any = ()
    if run and run.model_keras.exists():
        from nevus.learn.explanation.randomised import randomised_maps
        from nevus.learn.training.predict import load_model

        randomised = randomised_maps(load_model(run), spec.classes, images.pixels[:_RANDOMISED_IMAGES], seed)
    measured = probe_model(answer, images, spec.operating_point().threshold, randomised, seed)
    result: dict[str, Any] = finite({**described, **measured, "model_sha256": sha256_of(find_model(model))})
    write_json(file, result)
    return result


def _as_it_is(pixels: Pixels) -> Pixels:
    return pixels


def outcome_file(model: str | Path, out: str | Path | None = None) -> Path:
    """The file that `probe` writes its outcome to.

    Raises:
        ConfigError: none is named, and the model is not in the folder of a run; or a folder is named.
    """
    run = run_of(model)
    file = Path(out) if out is not None else run.probe_json if run else None
    if file is None or file.is_dir():
        found = f"Received the folder {file}." if file else "The model file is not inside a run folder."
        raise ConfigError(f"--out: expected a file for the result. {found}")
    return file

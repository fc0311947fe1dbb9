"""`nevus.demo`: the whole pipeline on generated images.

Owns how large a demo is, and which images of an earlier one may be used again or removed.
"""

from __future__ import annotations

import csv
import logging
import shutil
from pathlib import Path
from typing import Any

from nevus.core.config import Config
from nevus.core.errors import ConfigError, RunError
from nevus.core.extras import check_installed
from nevus.core.pretrained import describe_weights
from nevus.core.reuse import check_fresh
from nevus.core.runs import Run
from nevus.pipeline.run import run

# A minute on two cores. Small batches, because a small dataset has few steps, and the rate that suits them.
OPTIONS: dict[str, Any] = {"image_size": 64, "epochs": 8, "batch_size": 16, "learning_rate": 2e-3}
CONFIG = Config(**OPTIONS)
NUM_IMAGES = 1500
# Of the images as they are generated; preparation resizes them.
_IMAGE_SIZE = 96

_log = logging.getLogger(__name__)


def demo(
    out: str | Path = "runs/demo",
    config: Config = CONFIG,
    *,
    num_images: int = NUM_IMAGES,
    difficulty: float = 0.5,
    resume: bool = False,
    overwrite: bool = False,
) -> Run:
    """Generates dermoscopy-like images and runs the whole pipeline on them, as `nevus demo` does.

    Args:
        out: folder for the run; the images go to `images` in it.
        config: the options of the run; the seed is that of the images too.
        num_images: 1 or more.
        difficulty: overlap of the classes, 0 (distinct) to 1 (mostly overlapping).
        resume: go on where a demo that was cut off stopped; it must have been begun with the same images.
        overwrite: delete the demo that is there and start over.

    Returns:
        The run, as of `nevus.run`.

    Raises:
        ConfigError: a number is out of range, or the pretrained weights are not there.
        DataError: `images` in the folder holds files that no demo made.
        RunError: the folder holds a run, and neither resuming nor overwriting was asked for; or the one to resume
            was begun otherwise.
        ModuleNotFoundError: a package that training needs is not installed.
        NevusError: whatever a stage raises.
    """
    from nevus.data import phantom
    from nevus.data.phantom.drawing import check_arguments

    # Before anything is drawn or removed.
    check_installed("train", "assess")
    describe_weights(config.weights)
    check_arguments(_IMAGE_SIZE, difficulty, config.seed)
    if num_images < 1:
        raise ConfigError(f"--num-images: expected 1 or more. Received: {num_images}.")
    made = Run(Path(out))
    check_fresh(made, resume=resume, overwrite=overwrite, num_folds=config.folds)
    images = made.directory / "images"
    # The table is written last: images without it are those of a generation that was cut off.
    if resume and (images / phantom.PHANTOM_CSV).exists():
        _check_generated(images, num_images, difficulty, config.seed)
    else:
        if holds_phantoms_alone(images):
            shutil.rmtree(images, ignore_errors=True)
        _log.info("Generating %d images", num_images)
        phantom.generate(images, num_images=num_images, image_size=_IMAGE_SIZE, seed=config.seed, difficulty=difficulty)
    return run(images, out, config, resume=resume, overwrite=overwrite)


def _check_generated(images: Path, num_images: int, difficulty: float, seed: int) -> None:
    """Refuses to go on with images that were generated otherwise than they are asked for now."""
    from nevus.data.phantom import PHANTOM_CSV

    with (images / PHANTOM_CSV).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    there = (len(rows), float(rows[0]["difficulty"]), int(rows[0]["seed"]))
    if there != (num_images, difficulty, seed):
        raise RunError(
            f"{images} holds {there[0]} images of --difficulty {there[1]:g} and --seed {there[2]}, but should be "
            f"resumed with {num_images}, {difficulty:g} and {seed}. Resume with the same values, or start over with "
            "--overwrite."
        )


def holds_phantoms_alone(folder: Path) -> bool:
    """Whether `phantom.generate` made all that a folder holds, in a generation that was cut off too."""
    from nevus.data.phantom import PHANTOM_CSV
    from nevus.data.phantom.folder import MASKS

    # A hidden file is one that was half written, or the file manager's.
    return (folder / MASKS).is_dir() and all(
        path.name == PHANTOM_CSV or path.name.startswith(("generated_", "."))
        for path in folder.rglob("*")
        if not path.is_dir()
    )

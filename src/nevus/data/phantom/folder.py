"""A folder of phantoms as a user would bring one: classes, masks, several views a lesion, duplicates, and their truth.

    benign/generated_000012.png, malignant/generated_*.png      the images
    benign/generated_exact_000000.png                           byte for byte another image
    benign/generated_near_000000.{jpg,png}                      another image re-encoded, rotated or cropped
    .masks/generated_*.png                                      mode 1, white on the lesion, one for each image
    phantom.csv                                                 one row an image, written last

The masks' folder is hidden so that nothing takes it for a class. Image i is the same
file whatever the number of images. This module decides what is drawn, not how.
"""

from __future__ import annotations

import csv
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nevus.core.errors import ConfigError, DataError
from nevus.core.files import replacing
from nevus.core.labels import BENIGN, MALIGNANT
from nevus.core.machine import available_processors
from nevus.core.terminal import progress
from nevus.data.phantom.drawing import Phantom, check_arguments, phantom
from nevus.data.phantom.latents import LESIONS_PER_PATIENT
from nevus.data.sources.phantoms import PHANTOM_CSV

MASKS = ".masks"
COLUMNS = ("image", "lesion_id", "patient_id", "duplicate_of", "difficulty", "seed")

_DESCRIPTION = "generated phantom"
# Of zlib: the sensor noise leaves little to compress, and level 9 takes several times as long.
_COMPRESSION = 3


def generate(
    directory: Path,
    *,
    num_images: int = 1200,
    image_size: int = 96,
    seed: int = 0,
    difficulty: float = 0.5,
    malignant_fraction: float = 0.5,
    views_per_lesion: int = 1,
    exact_duplicates: int = 0,
    near_duplicates: int = 0,
) -> Path:
    """Writes a folder of phantoms.

    Image i shows lesion i // views_per_lesion. The duplicates come on top of
    `num_images`: the first images have an exact one, the next ones a near one. Duplicates
    carry no lesion and no patient id, as in the wild, so that only their content tells.

    Args:
        directory: to be made; may exist if it is empty.
        num_images: images without the duplicates, 1 or more.
        image_size: side of the square images in pixels, 16 to 1024.
        seed: 0 or more; the same seed gives the same files.
        difficulty: 0 (classes far apart) to 1 (mostly overlapping); see `bayes_roc_auc`.
        malignant_fraction: share of the lesions that are malignant, in [0, 1]; met exactly, up to one lesion.
        views_per_lesion: photographs of each lesion, 1 or more.
        exact_duplicates: files that repeat another byte for byte.
        near_duplicates: files that repeat another re-encoded as JPEG, rotated or cropped, in turn.

    Returns:
        `directory`, with the columns of phantom.csv: image (path relative to `directory`,
        with slashes), lesion_id, patient_id, duplicate_of (path of the original, empty for
        all others), difficulty, seed.

    Raises:
        ConfigError: an argument is out of range.
        DataError: the directory holds something, or cannot be written.
    """
    _check_numbers(num_images, views_per_lesion, exact_duplicates, near_duplicates)
    if not 0.0 <= malignant_fraction <= 1.0:
        raise ConfigError(f"malignant_fraction: expected a number from 0 to 1. Received: {malignant_fraction!r}.")
    check_arguments(image_size, difficulty, seed)
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise DataError(f"{directory} is not an empty folder. Name a new one, or empty it first.")
    _make_folders(directory)

    def draw(index: int) -> dict[str, str]:
        lesion, view = divmod(index, views_per_lesion)
        malignant = _is_malignant(lesion, malignant_fraction)
        drawn = phantom(seed, image_size, malignant, difficulty=difficulty, lesion=lesion, view=view)
        return {
            "image": _write(directory, index, drawn),
            "lesion_id": f"lesion_{lesion:06d}",
            "patient_id": f"patient_{lesion // LESIONS_PER_PATIENT:06d}",
        }

    with ThreadPoolExecutor(available_processors()) as pool:
        # Drawing and encoding are mostly NumPy and Pillow, which let other threads run.
        rows = list(progress(pool.map(draw, range(num_images)), total=num_images, label="generating"))
    for number, original in enumerate(rows[:exact_duplicates]):
        rows.append(_exact_duplicate(directory, number, original["image"]))
    for number, original in enumerate(rows[exact_duplicates : exact_duplicates + near_duplicates]):
        rows.append(_near_duplicate(directory, number, original["image"]))

    with replacing(directory / PHANTOM_CSV) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "difficulty": difficulty, "seed": seed} for row in rows)
    return directory


def _check_numbers(num_images: int, views_per_lesion: int, exact_duplicates: int, near_duplicates: int) -> None:
    for name, value, low in (
        ("num_images", num_images, 1),
        ("views_per_lesion", views_per_lesion, 1),
        ("exact_duplicates", exact_duplicates, 0),
        ("near_duplicates", near_duplicates, 0),
    ):
        if value < low:
            raise ConfigError(f"{name}: expected {low} or more. Received: {value!r}.")
    if exact_duplicates + near_duplicates > num_images:
        raise ConfigError(
            f"exact_duplicates and near_duplicates: expected at most num_images ({num_images}) together. "
            f"Received: {exact_duplicates} and {near_duplicates}."
        )


def _is_malignant(lesion: int, fraction: float) -> bool:
    """Spreads the malignant lesions evenly, so that any number of lesions holds its share of them."""
    return math.floor((lesion + 1) * fraction + 1e-9) > math.floor(lesion * fraction + 1e-9)


def _make_folders(directory: Path) -> None:
    try:
        for folder in (BENIGN, MALIGNANT, MASKS):
            directory.joinpath(folder).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"{directory}: cannot make folders ({problem.strerror}).") from None


def _write(directory: Path, index: int, drawn: Phantom) -> str:
    """Writes image and mask; returns the image's path relative to `directory`."""
    name = f"generated_{index:06d}.png"
    relative = f"{MALIGNANT if drawn.malignant else BENIGN}/{name}"
    _save_png(Image.fromarray(drawn.image), directory / relative)
    _save_png(Image.fromarray(drawn.mask), directory / MASKS / name)
    return relative


def _save_png(image: Image.Image, path: Path) -> None:
    text = PngInfo()
    text.add_text("Description", _DESCRIPTION)
    image.save(path, pnginfo=text, compress_level=_COMPRESSION)


def _exact_duplicate(directory: Path, number: int, original: str) -> dict[str, str]:
    copy = Path(original).with_name(f"generated_exact_{number:06d}.png")
    shutil.copyfile(directory / original, directory / copy)
    shutil.copyfile(_mask_of(directory, Path(original)), _mask_of(directory, copy))
    return {"image": copy.as_posix(), "duplicate_of": original}


def _near_duplicate(directory: Path, number: int, original: str) -> dict[str, str]:
    """Re-encodes, rotates or crops an image, in turn with `number`, and its mask alike."""
    suffix = ".jpg" if number % 3 == 0 else ".png"
    copy = Path(original).with_name(f"generated_near_{number:06d}{suffix}")
    with Image.open(directory / original) as image, Image.open(_mask_of(directory, Path(original))) as mask:
        if number % 3 == 0:
            image.save(directory / copy, quality=75, comment=_DESCRIPTION)
            _save_png(mask, _mask_of(directory, copy))
        else:
            change = _rotated if number % 3 == 1 else _cropped
            _save_png(change(image), directory / copy)
            _save_png(change(mask), _mask_of(directory, copy))
    return {"image": copy.as_posix(), "duplicate_of": original}


def _rotated(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_90)


def _cropped(image: Image.Image) -> Image.Image:
    """The middle of the image, nine tenths of its side, enlarged to the old size."""
    margin = image.width / 20
    box = (margin, margin, image.width - margin, image.height - margin)
    # A mask stays one of two values; Pillow resizes mode 1 by the nearest pixel.
    return image.resize(image.size, Image.Resampling.BILINEAR, box=box)


def _mask_of(directory: Path, image: Path) -> Path:
    return directory / MASKS / f"{image.stem}.png"

"""The images that a probe looks at: outlined, of both kinds, and none that the model was trained on."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nevus.core.errors import DataError, ImageError, UnavailableError
from nevus.core.machine_faults import check_available
from nevus.core.preprocess import load_mask, load_pixels, read_image_file
from nevus.core.runs import Run
from nevus.core.terminal import progress
from nevus.pipeline.earlier_images import hashes_seen

if TYPE_CHECKING:
    from nevus.assess.probing.probe import Outlined
    from nevus.data.archives import ImageReader
    from nevus.data.sources import Listing, SourceImage

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An image with the file of its mask."""

    image: SourceImage
    mask: Path
    is_malignant: bool


def outlined_images(
    data: Path, run: Run | None, *, image_size: int, num_images: int, seed: int
) -> tuple[Outlined, dict[str, Any]]:
    """Chooses and reads images of a folder that have masks.

    Args:
        data: folder of images with masks.
        run: of the model; images that it was trained or validated on are left out. None if it is not known.
        image_size: side S in pixels to which images and masks are resized.
        num_images: 2 or more; at most half as many of each kind are chosen.
        seed: of the choice.

    Returns:
        The images, those of both kinds mixed, and what `probe.json` says of the choice.

    Raises:
        DataError: images of one kind are missing, none of them can be read, or the machine cannot read more than a
            small share.
    """
    from nevus.data.archives import ImageReader
    from nevus.data.sources import find_images

    listing = find_images(data)
    with ImageReader(listing.root) as reader:
        candidates, num_seen, num_unreadable = _candidates(listing, reader, _known_hashes(run))
        kinds = [[one for one in candidates if one.is_malignant is kind] for kind in (True, False)]
        if not all(kinds):
            raise DataError(
                f"{data}: expected benign and malignant images with lesion masks (masks/NAME_segmentation.png "
                "or .masks/NAME.png) that the model was not trained on; found "
                f"{len(kinds[1])} and {len(kinds[0])}."
            )
        images, num_failed = _read(_chosen(kinds, num_images, seed), reader, image_size)
    num_unreadable += num_failed
    if images is None or images.is_malignant.all() or not images.is_malignant.any():
        left = "malignant" if images is not None and not images.is_malignant.any() else "benign"
        raise DataError(
            f"{data}: {num_unreadable:,} images or masks could not be read, and none is left of the {left} ones. "
            "Expected some of both kinds."
        )
    described = {
        "data": data.resolve().name,
        "generated": listing.generated,
        "num_left_out": num_seen,
        "num_unreadable": num_unreadable,
    }
    return images, described


def _known_hashes(run: Run | None) -> set[str]:
    """SHA-256 of the files the model was trained or validated on; none, with a warning, if that is not known."""
    hashes = None if run is None else hashes_seen(run)
    if hashes is None:
        _log.warning(
            "the images that the model was trained on are not known, because it is not inside a run folder or the "
            "run's dataset is gone or has changed; so none are left out."
        )
    return hashes or set()


def _candidates(listing: Listing, reader: ImageReader, hashes: set[str]) -> tuple[list[_Candidate], int, int]:
    """The images with a mask and a kind, those by `hashes` and unreadable ones left out; how many these two are."""
    from nevus.data.diagnoses import is_malignant
    from nevus.data.masks import find_mask

    candidates, num_seen, num_unreadable = [], 0, 0
    unavailable: list[tuple[str, ImageError]] = []
    for image in progress(listing.images, total=len(listing.images), label="Comparing"):
        kind = is_malignant(image.diagnosis) if image.malignant is None else image.malignant
        mask = find_mask(listing.root, image.path)
        if kind is None or mask is None:
            continue
        try:
            is_seen = bool(hashes) and _sha256(reader, image) in hashes
        except ImageError as problem:
            num_unreadable += 1
            if isinstance(problem, UnavailableError):
                unavailable.append((str(image.path), problem))
                check_available(unavailable, len(listing.images))
            continue
        if is_seen:
            num_seen += 1
        else:
            candidates.append(_Candidate(image, mask, kind))
    return candidates, num_seen, num_unreadable


def _sha256(reader: ImageReader, image: SourceImage) -> str:
    located = reader.locate(image.path)
    return hashlib.sha256(located if isinstance(located, bytes) else read_image_file(located)).hexdigest()


def _chosen(kinds: list[list[_Candidate]], num_images: int, seed: int) -> list[_Candidate]:
    """At most half of `num_images` of each kind, mixed, so that the first ones are of both kinds."""
    generator = np.random.default_rng(seed)
    chosen = []
    for found in kinds:
        chosen += [found[index] for index in generator.permutation(len(found))[: num_images // 2]]
    return [chosen[index] for index in generator.permutation(len(chosen))]


def _read(chosen: list[_Candidate], reader: ImageReader, image_size: int) -> tuple[Outlined | None, int]:
    """The images and masks that can be read, None if there are none; how many cannot be."""
    from nevus.assess.probing.probe import Outlined

    pixels, masks, read = [], [], []
    unavailable: list[tuple[str, ImageError]] = []
    for one in progress(chosen, total=len(chosen), label="Reading"):
        try:
            image, mask = load_pixels(reader.locate(one.image.path), image_size), load_mask(one.mask, image_size)
        except ImageError as problem:
            if isinstance(problem, UnavailableError):
                unavailable.append((str(one.image.path), problem))
                check_available(unavailable, len(chosen))
            continue
        pixels.append(image)
        masks.append(mask)
        read.append(one)
    if not read:
        return None, len(chosen)
    kinds = np.array([one.is_malignant for one in read])
    groups = [one.image.lesion_id or one.image.path.as_posix() for one in read]
    return Outlined(np.stack(pixels), np.stack(masks), kinds, groups), len(chosen) - len(read)

"""From a folder to a list of source images: which files there are, and what the folder says of each.

Each way in which a dataset can lie on disk is one function, a module each, in `LAYOUTS`. It
looks at the root and returns a `Listing`, or None if the dataset does not lie so.
This package reads names and tables; it never opens an image.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from nevus.core.errors import DataError
from nevus.core.preprocess import SUFFIXES
from nevus.data.sources.class_folders import class_folders
from nevus.data.sources.files import walk
from nevus.data.sources.ham10000 import ham10000
from nevus.data.sources.listing import Listing, SourceImage
from nevus.data.sources.phantoms import phantoms

__all__ = ["LAYOUTS", "Listing", "SourceImage", "find_images"]

EXPECTED = (
    "Expected a folder of images for each class (root/benign, root/malignant), "
    "with or without train, val and test above them (root/train/benign)."
)

# Tried in this order; a layout that more datasets match stands later.
LAYOUTS: tuple[Callable[[Path], Listing | None], ...] = (phantoms, ham10000, class_folders)


def find_images(root: Path) -> Listing:
    """Lists the images of a dataset, whichever of `LAYOUTS` it has.

    Raises:
        DataError: the root is missing, unreadable or has none of the layouts, or holds one class only.
    """
    if not root.exists():
        raise DataError(f"{root} does not exist. {EXPECTED}")
    try:
        listing = next((found for layout in LAYOUTS if (found := layout(root)) is not None), None)
        if listing is None:
            raise DataError(_what_is_wrong(root))
    except OSError as problem:
        raise DataError(f"{problem.filename or root} cannot be read: {problem.strerror}.") from None
    diagnoses = sorted({image.diagnosis for image in listing.images})
    if not listing.images:
        raise DataError(
            f"{root}: none of {len(listing.rejected)} images can be used: {listing.rejected[0][1]}. {EXPECTED}"
        )
    if len(diagnoses) < 2:
        raise DataError(f"{root}: all {len(listing.images)} images are of one class, '{diagnoses[0]}'. {EXPECTED}")
    return listing


def _what_is_wrong(root: Path) -> str:
    """Says why no layout fits."""
    if not root.is_dir():
        return f"{root} is a file. {EXPECTED}"
    files = list(walk(root))
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not images:
        found = f"{len(files)} other files" if files else "nothing"
        return f"{root} holds no images; found {found}. {EXPECTED} Image names end in {', '.join(sorted(SUFFIXES))}."
    example = images[0].relative_to(root)
    if any(len(path.relative_to(root).parts) <= 2 for path in images):
        return f"{root} holds {len(images)} images, none of them in a class folder ({example}). {EXPECTED}"
    common = Path(os.path.commonpath(images if len(images) > 1 else [images[0].parent]))
    mend = f" Perhaps name {common} instead." if common != root else " Move the images directly into class folders."
    return f"{root} holds {len(images)} images, all nested too deep ({example}). {EXPECTED}{mend}"

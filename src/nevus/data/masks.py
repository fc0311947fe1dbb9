"""Which lesion masks a dataset has: one picture for each image, white on the lesion. Opens no file."""

from __future__ import annotations

from pathlib import Path

from nevus.data.phantom.folder import MASKS as PHANTOM_MASKS

_FOLDERS = ("masks", PHANTOM_MASKS)
# As the masks of HAM10000 and of the ISIC challenges are named, and plainly.
_NAMES = ("{stem}_segmentation.png", "{stem}.png")


def find_mask(root: Path, image: Path) -> Path | None:
    """The mask of an image, in a folder `masks` or `.masks` of the dataset; None if it has none.

    Args:
        root: of the dataset.
        image: relative to the root.
    """
    for folder in _FOLDERS:
        for name in _NAMES:
            path = root / folder / name.format(stem=image.stem)
            if path.is_file():
                return path
    return None

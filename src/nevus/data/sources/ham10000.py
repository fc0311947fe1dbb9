"""HAM10000 (Tschandl, Rosendahl & Kittler, Scientific Data 5, 180161, 2018)."""

from __future__ import annotations

from pathlib import Path

from nevus.core.preprocess import SUFFIXES
from nevus.data.sources.files import read_table, walk
from nevus.data.sources.listing import Listing, SourceImage

HAM10000_TABLE = "HAM10000_metadata.csv"


def ham10000(root: Path) -> Listing | None:
    """HAM10000 as published (Tschandl et al. 2018): its table, and the images in one folder or several."""
    table = root / HAM10000_TABLE
    if not table.is_file():
        return None
    records = read_table(table, ("image_id", "lesion_id", "dx"))
    images, num_ignored = [], 0
    for path in walk(root):
        # Segmentation masks and their like are named after an image but are not one of the table's.
        record = records.pop(path.stem, None) if path.suffix.lower() in SUFFIXES else None
        if record is None:
            num_ignored += path != table
            continue
        metadata = {name: cell for name, cell in record.items() if name not in ("image_id", "lesion_id", "dx")}
        images.append(
            SourceImage(
                path.relative_to(root),
                diagnosis=record["dx"],
                lesion_id=record["lesion_id"],
                licence="CC BY-NC 4.0",
                metadata=metadata,
            )
        )
    missing = tuple((Path(image_id), f"in {HAM10000_TABLE}, but no such image file") for image_id in sorted(records))
    return Listing("HAM10000", tuple(images), missing, num_ignored)

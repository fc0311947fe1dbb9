"""Generated images, as `nevus demo` writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nevus.data.sources.class_folders import class_folders
from nevus.data.sources.files import read_table
from nevus.data.sources.listing import Listing

PHANTOM_TABLE = "phantom.csv"


def phantoms(root: Path) -> Listing | None:
    """Folders of classes with a table `phantom.csv`, which names the lesion and patient of each image."""
    table = root / PHANTOM_TABLE
    if not table.is_file():
        return None
    listing = class_folders(root)
    if listing is None:
        return None
    records = read_table(table, ("image", "lesion_id", "patient_id"))
    images, rejected = [], list(listing.rejected)
    for image in listing.images:
        record = records.get(image.path.as_posix())
        if record is None:
            rejected.append((image.path, f"not in {PHANTOM_TABLE}"))
            continue
        metadata = {name: cell for name, cell in record.items() if name not in ("image", "lesion_id", "patient_id")}
        images.append(replace(image, lesion_id=record["lesion_id"], patient_id=record["patient_id"], metadata=metadata))
    return replace(listing, kind="phantoms", images=tuple(images), rejected=tuple(rejected))

"""Generated images, as `nevus demo` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nevus.data.sources.class_folders import class_folders
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing
from nevus.data.sources.tables import read_table

PHANTOM_CSV = "phantom.csv"

_IDS = ("image", "lesion_id", "patient_id")


def phantoms(files: Files, tables: Sequence[str]) -> Listing | None:
    """Folders of classes with a table `phantom.csv`, which names the lesion and patient of each image."""
    listing = class_folders(files)
    if listing is None:
        return None
    table = tables[0]
    folder = table.rpartition(PHANTOM_CSV)[0]
    records = {row["image"]: row for row in read_table(files, table, _IDS, None)}
    images, rejected = [], list(listing.rejected)
    for image in listing.images:
        record = records.get(image.path.as_posix().removeprefix(folder))
        if record is None:
            rejected.append((image.path, f"not in {PHANTOM_CSV}"))
            continue
        columns = {name: cell for name, cell in record.items() if name not in _IDS}
        images.append(replace(image, lesion_id=record["lesion_id"], patient_id=record["patient_id"], columns=columns))
    return replace(listing, kind="phantoms", images=tuple(images), rejected=tuple(rejected))

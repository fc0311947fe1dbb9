"""Fitzpatrick17k: 16,577 clinical photographs of 114 conditions, from two atlases, by skin type.

Release: Groh et al., arXiv:2104.09957; github.com/mattgroh/fitzpatrick17k. `fitzpatrick17k.csv` has md5hash,
fitzpatrick_scale, fitzpatrick_centaur (-1 where unknown), label, nine_partition_label, three_partition_label (benign,
malignant, non-neoplastic), qc, url and url_alphanum. An image is named after its md5hash, or after url_alphanum by
those who fetched it themselves. These are not dermoscopic images, and no diagnosis was proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.errors import DataError
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.tables import image_key, keyed, read_table

TABLES = r"fitzpatrick17k\.csv"
HEADERS = (("md5hash", "three_partition_label"),)
_MALIGNANT = {"malignant": True, "benign": False, "non-neoplastic": False}


def fitzpatrick17k(files: Files, tables: Sequence[str]) -> Listing:
    """Fitzpatrick17k: its three parts decide, label is the diagnosis."""
    table = tables[0]
    where = str(files.root / table)
    stems = {Path(name).stem for name in files.images}
    rows = read_table(
        files, table, ("md5hash", "label", "three_partition_label"), ("fitzpatrick_scale", "url_alphanum")
    )
    described: dict[str, SourceImage] = {}
    for image, row in keyed(where, rows, "md5hash").items():
        part = row["three_partition_label"].lower()
        if part not in _MALIGNANT:
            raise DataError(
                f"{where}: three_partition_label of '{image}' is '{part}'. Expected one of {list(_MALIGNANT)}. Mend it."
            )
        skin_type = row.get("fitzpatrick_scale", "")
        address = image_key(row.get("url_alphanum", ""))
        described[address if address in stems else image] = SourceImage(
            Path(),
            diagnosis=row["label"],
            malignant=_MALIGNANT[part],
            licence="CC BY-NC-SA 3.0",
            columns={"skin_type": "" if skin_type.startswith("-") else skin_type},
        )
    num_other = len(files.names) - len(files.images) - 1
    return list_described("Fitzpatrick17k", files.images, described, table=Path(table).name, num_other_files=num_other)

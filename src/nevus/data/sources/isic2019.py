"""ISIC 2019: 25,331 training and 8,238 test images in 8 classes, and a class of none of these in the test.

Release: challenge.isic-archive.com/data/#2019; HAM10000, BCN20000 (Combalia et al., arXiv:1908.02288) and MSK
(Codella et al. 2018). `ISIC_2019_Training_GroundTruth.csv` has the columns image, MEL, NV, BCC, AK, BKL, DF, VASC,
SCC, UNK; `ISIC_2019_Training_Metadata.csv` image, age_approx, anatom_site_general, lesion_id, sex. The test's tables
are alike, with weights of the score added to the one and no lesion_id in the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.clinical import known
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.one_hot import UNKNOWN, read_ground_truth
from nevus.data.sources.split_folders import split_of
from nevus.data.sources.tables import further_columns, keyed, read_table

TABLES = r"ISIC_2019_(Training|Test)_GroundTruth\.csv"
_FACTS = r"ISIC_2019_(Training|Test)_Metadata\.csv"
_CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", UNKNOWN)
HEADERS = (("image", *_CLASSES),)
_COLUMNS = {"age": "age_approx", "sex": "sex", "site": "anatom_site_general"}


def isic2019(files: Files, tables: Sequence[str]) -> Listing:
    """ISIC 2019 as published; its own splits are kept, and images of no named class are rejected."""
    facts: dict[str, dict[str, str]] = {}
    fact_tables = files.tables(_FACTS, (("image", "age_approx", "anatom_site_general"),))
    for table in fact_tables:
        required = ("image", "lesion_id") if split_of(table) == "train" else ("image",)
        rows = read_table(files, table, required, ("lesion_id", *_COLUMNS.values()))
        facts |= keyed(str(files.root / table), rows, "image")
    described: dict[str, SourceImage | str] = {}
    for table in tables:
        for image, diagnosis in read_ground_truth(files, table, _CLASSES).items():
            fact = facts.get(image, {})
            described[image] = (
                f"class {UNKNOWN}: the source says only what it is not"
                if diagnosis == UNKNOWN
                else SourceImage(
                    Path(),
                    diagnosis=diagnosis,
                    split=split_of(table),
                    lesion_id=known(fact.get("lesion_id", "")),
                    licence="CC BY-NC 4.0",
                    columns=further_columns(fact, _COLUMNS),
                )
            )
    num_other = len(files.names) - len(files.images) - len(tables) - len(fact_tables)
    return list_described("ISIC 2019", files.images, described, table="the ground truth", num_other_files=num_other)

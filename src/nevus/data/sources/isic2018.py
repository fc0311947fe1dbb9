"""ISIC 2018 task 3: 10,015 training (HAM10000), 193 validation and 1,512 test images in 7 classes.

Release: challenge.isic-archive.com/data/#2018; Codella et al., arXiv:1902.03368; Tschandl et al. 2018. Each part has
a folder of images (`ISIC2018_Task3_Training_Input`) and `ISIC2018_Task3_Training_GroundTruth.csv` with the columns
image, MEL, NV, BCC, AKIEC, BKL, DF, VASC; likewise Validation and Test. The lesions of the training images are in
`ISIC2018_Task3_Training_LesionGroupings.csv`: image, lesion_id, diagnosis_confirm_type.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.one_hot import read_ground_truth
from nevus.data.sources.split_folders import split_of
from nevus.data.sources.tables import further_columns, keyed, read_table

TABLES = r"ISIC2018_Task3_(Training|Validation|Test)_GroundTruth\.csv"
_GROUPINGS = r"ISIC2018_Task3_Training_LesionGroupings\.csv"
_CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
HEADERS = (("image", *_CLASSES),)


def isic2018(files: Files, tables: Sequence[str]) -> Listing:
    """ISIC 2018 task 3 as published; its own splits are kept."""
    lesions: dict[str, dict[str, str]] = {}
    groupings = files.tables(_GROUPINGS, (("image", "lesion_id", "diagnosis_confirm_type"),))
    for table in groupings:
        rows = read_table(files, table, ("image", "lesion_id"), ("diagnosis_confirm_type",))
        lesions |= keyed(str(files.root / table), rows, "image")
    described = {
        image: SourceImage(
            Path(),
            diagnosis=diagnosis,
            split=split_of(table),
            lesion_id=lesions.get(image, {}).get("lesion_id", ""),
            licence="CC BY-NC 4.0",
            columns=further_columns(lesions.get(image, {}), {"confirmed_by": "diagnosis_confirm_type"}),
        )
        for table in tables
        for image, diagnosis in read_ground_truth(files, table, _CLASSES).items()
    }
    num_other = len(files.names) - len(files.images) - len(tables) - len(groupings)
    return list_described(
        "ISIC 2018 task 3", files.images, described, table="the ground truth", num_other_files=num_other
    )

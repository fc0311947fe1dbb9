"""Parquet files with the images inside, as the Hugging Face Hub publishes image datasets.

Format: huggingface.co/docs/datasets/image_dataset; `data/train-00000-of-00001.parquet` has a column of images, each a
struct of `bytes` and `path`, and columns for what is said of them. A number of a class has its name in the file's
metadata. The file's name begins with the split.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from nevus.core.errors import DataError
from nevus.data.archives.parquet import ParquetArchive
from nevus.data.sources.files import Files
from nevus.data.sources.generic_table import TableColumns
from nevus.data.sources.listing import Listing, SourceImage
from nevus.data.sources.roles import find_roles
from nevus.data.sources.split_folders import split_of

SUFFIX = ".parquet"


def parquet_images(files: Files, flags: TableColumns) -> Listing | None:
    """The images in the Parquet files of a source; None if it has no such file with images inside."""
    names = [name for name in files.names if name.lower().endswith(SUFFIX)]
    if files.images and importlib.util.find_spec("pyarrow") is None:
        # They may be of no interest: the features of images, say, that are there as files.
        return None
    images: list[SourceImage] = []
    num_files = 0
    for name in names:
        if not (files.root / name).is_file():
            raise DataError(
                f"{files.root / name} is in an archive, where its images cannot be reached. Unpack it and name its "
                "folder."
            )
        archive = ParquetArchive(files.root / name)
        try:
            if archive.image_column:
                num_files += 1
                images += _images(archive, name, flags)
        finally:
            archive.close()
    if not num_files:
        return None
    return Listing("Parquet with images", tuple(images), num_ignored=len(files.names) - num_files)


def _images(archive: ParquetArchive, name: str, flags: TableColumns) -> list[SourceImage]:
    roles = find_roles(str(archive.path), (*archive.columns, archive.image_column), flags)
    split = split_of(name) or split_of(name.rpartition("/")[0])
    names = archive.image_names()
    return [
        roles.image(Path(f"{name}/{image}"), row, split)
        for image, row in zip(names, archive.rows(roles.columns), strict=True)
    ]

"""Files within files: zip and tar archives, HDF5, NumPy and Parquet files, read as if they were folders of images.

A path such as `images.zip/train/nv/a.jpg` or `train-image.hdf5/ISIC_0015670` names an image in an archive. Nothing
is ever unpacked to disk. Every archive is hostile until checked: names that lead out of it, sizes out of proportion
and links to other files are refused. This package reads bytes; what they show is for `core.preprocess` to say.
"""

from __future__ import annotations

from nevus.data.archives.member_names import archive_suffix, is_hidden
from nevus.data.archives.reader import ImageReader
from nevus.data.archives.tars import TarArchive
from nevus.data.archives.zips import ZipArchive

__all__ = ["ImageReader", "TarArchive", "ZipArchive", "archive_suffix", "is_hidden"]

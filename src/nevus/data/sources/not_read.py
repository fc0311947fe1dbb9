"""Releases of the field that are known and not read: each is called by its name, with the reason and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nevus.core.errors import DataError
from nevus.data.sources.files import Files


@dataclass(frozen=True, slots=True)
class NotRead:
    """A release, or a form of one, that is not read.

    Attributes:
        pattern: regular expression of a part of the paths of its files.
        title: what it is.
        advice: why it is not read, and what to do.
    """

    pattern: str
    title: str
    advice: str


_NO_TRUTH = "Their diagnoses are not published: take the training images, or ask for risks with 'nevus predict'."
_OUTLINES = "It has outlines and no diagnoses: take part 3 (task 3) of that year."
_UNPACK = "Unpack it into a folder, or pack it as .zip or .tar.gz."

# Tried where no layout is found.
RELEASES = (
    NotRead(r"ISIC_2020_Test_\w*(metadata|Input|JPEG)", "the test images of ISIC 2020", _NO_TRUTH),
    NotRead(r"MILK10k_Test_\w*", "the test images of MILK10k", _NO_TRUTH),
    NotRead(r"ISIC_2024_Test_\w*|(^|/)test-metadata\.csv$", "the test images of ISIC 2024", _NO_TRUTH),
    NotRead(r"ISIC2018_Task(1|2|1-2)_", "tasks 1 and 2 of ISIC 2018", _OUTLINES),
    NotRead(r"ISIC-2017_\w+_Part[12]_GroundTruth", "parts 1 and 2 of ISIC 2017", _OUTLINES),
    NotRead(r"ISBI2016_ISIC_Part[12]B?_", "parts 1 and 2 of ISIC 2016", _OUTLINES),
    NotRead(
        r"(^|/)hmnist_\d+_\d+_(RGB|L)\.csv$",
        "HAM10000 as a table of pixels",
        "Take the images and HAM10000_metadata.csv, which are on the same page, or DermaMNIST for images so small.",
    ),
    NotRead(
        r"derm12345_metadata_\w+\.(csv|tab)$",
        "DERM12345",
        "Its names of diagnoses are codes that Nevus does not know. Make a table with a column of known names of it.",
    ),
    NotRead(
        r"scin_(cases|labels)\.csv$",
        "SCIN",
        "Each case has several weighted guesses, none proven. Make a table with one diagnosis for each image of it.",
    ),
    NotRead(
        r"\.tfrec(ord)?s?$",
        "a set of TFRecord files",
        "Take the same images as JPEG files with a table, which their publishers also have.",
    ),
    NotRead(r"\.(rar|7z)$", "an archive of a kind that is not read", _UNPACK),
    NotRead(r"\.(tar\.(bz2|xz|zst)|tbz2|txz)$", "a tar archive of a compression that is not read", _UNPACK),
)


def check_not_known(files: Files, *, has_images: bool) -> None:
    """Checks that a source without a layout is none of `RELEASES`.

    Args:
        files: of the source.
        has_images: whether folders of classes were found in it; then only tables and folders count, for an archive
            may lie next to images that are to be read.

    Raises:
        DataError: it is one; the message names it.
    """
    for release in RELEASES[:-3] if has_images else RELEASES:
        match = re.compile(release.pattern, re.IGNORECASE).search
        found = next((name for name in files.names if match(name)), "")
        if found:
            raise DataError(
                f"{files.root / found}: this is {release.title}, which Nevus knows and does not read. {release.advice}"
            )

"""Age, sex and site of images that are to be predicted: from a table with a row an image, or the same for all.

Owns how an image finds its row. What a model makes of a value is in `nevus.core.clinical`.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from nevus.core.clinical import parse_pairs, values_of
from nevus.core.errors import ConfigError
from nevus.core.modelfile import ModelSpec

# Columns that name the image: its file with or without folders, or its file's name without the suffix.
FILE, IMAGE_ID = "file", "image_id"


def read_clinical(given: str, spec: ModelSpec) -> Callable[[Path], Mapping[str, str] | None]:
    """Reads what was given and checks it against the model, before any image is looked at.

    Args:
        given: the path of a CSV file, or values such as `age=55,sex=female`.
        spec: of the model; further columns of the file are passed over.

    Returns:
        A function from the path of an image to its clinical values; None for an image that the file does not have.

    Raises:
        ConfigError: the model takes none, the file is no such table, or a value is none that the model takes.
    """
    if "=" in given and not os.path.isfile(given):  # noqa: PTH113 - is_file raises where a name is too long
        values = parse_pairs(given)
        values_of(spec.clinical, values)
        return lambda path: values
    rows = _read_table(Path(given), spec)
    return lambda path: rows.get(str(path)) or rows.get(path.name) or rows.get(path.stem)


def _read_table(path: Path, spec: ModelSpec) -> dict[str, dict[str, str]]:
    names = [variable.name for variable in spec.clinical]
    if not names:
        raise ConfigError("--metadata: this model takes pixels alone. Leave it out.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            records = list(reader)
    except OSError as problem:
        raise ConfigError(
            f"{path} cannot be read ({problem.strerror}). Expected a CSV file with age, sex or site."
        ) from None
    except (UnicodeDecodeError, csv.Error) as problem:
        raise ConfigError(f"{path} is not a CSV file in UTF-8 ({problem}).") from None
    key = next((name for name in (FILE, IMAGE_ID) if name in columns), None)
    used = [name for name in names if name in columns]
    if key is None or not used:
        raise ConfigError(
            f"{path}: expected a column '{FILE}' or '{IMAGE_ID}', and some of: {', '.join(names)}. "
            f"Found: {', '.join(columns)}."
        )
    rows: dict[str, dict[str, str]] = {}
    for number, record in enumerate(records, start=2):
        row = {name: record[name] or "" for name in used}
        try:
            values_of(spec.clinical, row)
        except ConfigError as problem:
            raise ConfigError(f"{path} row {number}: {problem}") from None
        image = (record[key] or "").strip()
        if image in rows:
            raise ConfigError(f"{path} row {number}: '{image}' is listed twice. Expected each image once.")
        rows[image] = row
    return rows

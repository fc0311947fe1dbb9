"""Folders of images with a table that names each file: the ImageFolder of Hugging Face.

Format: huggingface.co/docs/datasets/image_dataset; `metadata.csv` or `metadata.jsonl` in a folder has a column
file_name, the path of an image below that folder, and others for what is said of it. The folder is a split if it is
named so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from nevus.core.damage import DAMAGE
from nevus.core.errors import ConfigError, DataError
from nevus.data.sources.files import Files
from nevus.data.sources.generic_table import TableColumns
from nevus.data.sources.listing import Listing
from nevus.data.sources.matching import check_any, match_images
from nevus.data.sources.roles import find_roles
from nevus.data.sources.split_folders import SPLIT_FOLDERS
from nevus.data.sources.tables import read_table

_FILE = "file_name"
_JSON_LINES = r"metadata\.jsonl"
_LONGEST_LINE = 2**20


def image_folder(files: Files, flags: TableColumns) -> Listing | None:
    """The images that such tables name; None if there are no tables, or these name no diagnosis (captions, say)."""
    tables = [*files.tables("", ((_FILE,),)), *files.tables(_JSON_LINES)]
    if not (tables and files.images):
        return None
    entries = []
    for table in tables:
        rows = list(_rows(files, table))
        if not rows or _FILE not in rows[0]:
            continue
        try:
            roles = find_roles(str(files.root / table), tuple(rows[0]), flags)
        except ConfigError:
            if flags.named:
                raise
            continue
        entries += [(table, roles, row) for row in rows]
    if not entries:
        return None
    wanted = [(PurePosixPath(table).parent / row[_FILE].replace("\\", "/")).as_posix() for table, _, row in entries]
    matches = match_images(wanted, files.images)
    check_any(" and ".join(tables), wanted, files.images, any_found=any(match.found for match in matches))
    images, rejected = [], []
    for (_, roles, row), match in zip(entries, matches, strict=True):
        if match.found:
            path = Path(match.found)
            images.append(roles.image(path, row, _split(path)))
        else:
            rejected.append((Path(match.wanted), match.reason))
    images.sort(key=lambda image: image.path)
    return Listing("ImageFolder", tuple(images), tuple(rejected), len(files.names) - len(images))


def _split(path: Path) -> str:
    """The split that the outermost folder of such a name tells."""
    return next((SPLIT_FOLDERS[part] for part in map(str.lower, path.parts[:-1]) if part in SPLIT_FOLDERS), "")


def _rows(files: Files, table: str) -> Iterator[dict[str, str]]:
    if not table.lower().endswith(".jsonl"):
        yield from read_table(files, table, (_FILE,), None)
        return
    where = files.root / table
    try:
        with files.open(table) as lines:
            for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), b""), start=1):
                row = json.loads(line)
                if not isinstance(row, dict) or _FILE not in row:
                    raise DataError(f"{where} line {number}: no {_FILE}. Expected an object with it. Mend the line.")
                yield {key: _text(value) for key, value in row.items()}
    except (RecursionError, *DAMAGE) as problem:
        raise DataError(f"{where} does not hold an object of JSON in each line ({problem}). Mend it.") from None


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)

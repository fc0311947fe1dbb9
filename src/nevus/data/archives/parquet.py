"""Parquet files: their rows as text, and the images that some have in a column, as the Hugging Face Hub publishes them.

An image is a struct of `bytes` and `path`, or a column of bytes. It is read a few rows at a time.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from nevus.core.errors import DataError, ImageError
from nevus.core.extras import missing_package
from nevus.core.machine_faults import reading_error
from nevus.core.preprocess import MAX_FILE_BYTES

_TEXT_ROWS, _IMAGE_ROWS = 4096, 8
# Read from the file at once, so that a column of images is not in memory as a whole.
_BUFFER_BYTES = 2**20


class ParquetArchive:
    """One Parquet file. An image's name is the number of its row, and its own name if it has one: `12/a.jpg`.

    Attributes:
        path: of the file.
        columns: the names of the columns that hold text, numbers or dates.
        image_column: the name of the column with images; empty if there is none.

    Raises:
        DataError: the file is damaged, or pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ModuleNotFoundError:
            raise DataError(f"{path}: {missing_package('pyarrow')}") from None
        self.path = path
        self._damage = (pyarrow.ArrowException, OSError)
        try:
            self._file = parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        except self._damage as problem:
            raise self._damaged(problem) from None
        schema = self._file.schema_arrow
        self.columns = tuple(field.name for field in schema if not _is_bytes(field.type) and not _is_nested(field.type))
        self.image_column = next((field.name for field in schema if _is_image(field)), "")
        self._names_of_classes = _names_of_classes(schema.metadata or {})
        self._images: Iterator[Any] = iter(())
        self._position = 0

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, str]]:
        """The rows as text, empty where there is nothing; the number of a class is given as its name.

        Args:
            columns: those that are wanted, all of `columns` if None.

        Raises:
            DataError: the file is damaged, or holds what cannot be text.
        """
        wanted = list(self.columns if columns is None else columns)
        try:
            for batch in self._file.iter_batches(batch_size=_TEXT_ROWS, columns=wanted, use_threads=False):
                texts = {
                    field.name: self._texts(field.name, column)
                    for field, column in zip(batch.schema, batch.columns, strict=True)
                }
                for cells in zip(*texts.values(), strict=True):
                    yield dict(zip(texts, cells, strict=True))
        except self._damage as problem:
            raise self._damaged(problem) from None

    def image_names(self) -> Iterator[str]:
        """The name of the image of each row, in order: the number of the row, then its own name if it has one.

        Raises:
            DataError: the file is damaged.
        """
        schema = self._file.schema_arrow
        leaf = _leaf(schema.field(self.image_column), "path")
        for number in range(self._file.metadata.num_rows) if not leaf else ():
            yield f"{number:06}"
        if not leaf:
            return
        number = 0
        try:
            for batch in self._file.iter_batches(batch_size=_TEXT_ROWS, columns=[leaf], use_threads=False):
                for cell in batch.column(0).to_pylist():
                    own = Path(str((cell or {}).get("path") or "").replace("\\", "/")).name
                    yield f"{number:06}/{own}" if own and own.isprintable() else f"{number:06}"
                    number += 1
        except (*self._damage, UnicodeDecodeError) as problem:
            raise self._damaged(problem) from None

    def read(self, name: str) -> bytes:
        """The bytes of an image file; fastest in the order of the rows.

        Raises:
            ImageError: there is no such image, or it cannot be read.
        """
        index = int(name.partition("/")[0])
        if index < self._position or self._position == 0:
            self._images, self._position = self._cells(), 0
        try:
            cell = next(islice(self._images, index - self._position, None), None)
        except (MemoryError, *self._damage) as problem:
            self._position = 0
            raise reading_error(problem, "damaged in the Parquet file") from None
        self._position = index + 1
        if not cell:
            raise ImageError("no image in this row of the Parquet file")
        if len(cell) > MAX_FILE_BYTES:
            raise ImageError(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
        return bytes(cell)

    def close(self) -> None:
        """Closes the file."""
        self._images = iter(())
        self._file.close()

    def _cells(self) -> Iterator[Any]:
        """The bytes in the column of images, row by row."""
        leaf = _leaf(self._file.schema_arrow.field(self.image_column), "bytes") or self.image_column
        for batch in self._file.iter_batches(batch_size=_IMAGE_ROWS, columns=[leaf], use_threads=False):
            for cell in batch.column(0).to_pylist():
                yield cell.get("bytes") if isinstance(cell, dict) else cell

    def _damaged(self, problem: Exception) -> DataError:
        return DataError(f"{self.path} is not a readable Parquet file ({problem}). Save it again.")

    def _texts(self, name: str, column: Any) -> list[str]:
        """The cells of a column as text; empty where there is nothing."""
        classes = self._names_of_classes.get(name, ())
        try:
            texts = [_text(value, classes) for value in column.to_pylist()]
        except (ValueError, OverflowError) as problem:
            raise DataError(
                f"{self.path}: column '{name}' holds a value that cannot be read ({problem}). Expected text in UTF-8, "
                "numbers, or dates of the years 1 to 9999 to the microsecond. Mend the column, or leave it out."
            ) from None
        # A longer one could be written into the manifest, but not read from it again.
        longest, limit = max(map(len, texts), default=0), csv.field_size_limit()
        if longest > limit:
            raise DataError(
                f"{self.path}: column '{name}' holds a cell of {longest:,} characters. Expected {limit:,} or fewer. "
                "Leave the column out."
            )
        return texts


def _text(value: Any, classes: Sequence[str]) -> str:
    if value is None:
        return ""
    is_class = classes and isinstance(value, int) and 0 <= value < len(classes)
    return classes[value] if is_class else str(value)


def _names_of_classes(metadata: dict[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """The names behind the numbers of each column of classes, as the library `datasets` writes them into a file."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {
            column: tuple(map(str, feature["names"]))
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _leaf(field: Any, name: str) -> str:
    """The path of a part of a struct, empty if the field is none, or has no such part."""
    from pyarrow import types

    parts = [part.name for part in field.type] if types.is_struct(field.type) else []
    return f"{field.name}.{name}" if name in parts else ""


def _is_image(field: Any) -> bool:
    return _is_bytes(field.type) or bool(_leaf(field, "bytes") and _is_bytes(field.type.field("bytes").type))


def _is_bytes(kind: Any) -> bool:
    """Whether a column of this type holds bytes, such as an image, which are not text."""
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _is_nested(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_nested(kind))

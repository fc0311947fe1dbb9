"""A dataset under audit, with what several checks need of it, made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from nevus.core.dataset import Dataset
from nevus.core.manifest import ManifestRow
from nevus.data.groups import connected_components, members, pairs_sharing
from nevus.data.near_duplicates import SAME_FILE, SAME_PIXELS, DuplicatePair


@dataclass(frozen=True)
class Audited:
    """A dataset and the pairs of its images that are the same picture."""

    dataset: Dataset
    pairs: list[DuplicatePair]

    @cached_property
    def rows(self) -> list[ManifestRow]:
        """The rows of the manifest."""
        return self.dataset.rows

    @cached_property
    def row_of(self) -> dict[str, ManifestRow]:
        """The row of each image by its identifier."""
        return {row.image_id: row for row in self.rows}

    @cached_property
    def pictures(self) -> list[list[ManifestRow]]:
        """The sets of two or more rows that show the same picture."""
        positions = {row.image_id: position for position, row in enumerate(self.rows)}
        found = ((positions[pair.first], positions[pair.second]) for pair in self.pairs)
        joined = chain(found, pairs_sharing(row.duplicate_group for row in self.rows))
        sets = members(connected_components(len(self.rows), joined)).values()
        return [[self.rows[position] for position in picture] for picture in sets if len(picture) > 1]

    def crossing(self, exact: bool) -> list[DuplicatePair]:
        """The pairs of one kind whose images are in different splits."""
        return [pair for pair in self._of_kind(exact) if len(self._splits(pair)) > 1]

    def within(self, exact: bool) -> list[DuplicatePair]:
        """The pairs of one kind whose images are in one split, or whose splits are not made yet."""
        return [pair for pair in self._of_kind(exact) if len(self._splits(pair)) < 2 and not self._is_left_out(pair)]

    def _of_kind(self, exact: bool) -> list[DuplicatePair]:
        return [pair for pair in self.pairs if (pair.kind in (SAME_FILE, SAME_PIXELS)) == exact]

    def _is_left_out(self, pair: DuplicatePair) -> bool:
        return self.row_of[pair.first].is_left_out or self.row_of[pair.second].is_left_out

    def _splits(self, pair: DuplicatePair) -> set[str]:
        return {self.row_of[pair.first].split, self.row_of[pair.second].split} - {""}

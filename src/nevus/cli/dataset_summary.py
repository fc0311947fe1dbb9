"""A prepared dataset on the terminal: how many images of each class are in each split."""

from __future__ import annotations

from collections import Counter

from nevus.core.dataset import Dataset
from nevus.core.manifest import SPLITS
from nevus.core.terminal import printable


def dataset_summary(dataset: Dataset) -> str:
    """Counts of a prepared dataset, by split and class."""
    info = dataset.info
    lines = [f"{info.num_images:,} images of {info.image_size} x {info.image_size} pixels in {dataset.directory}"]
    if info.num_rejected:
        lines.append(f"{info.num_rejected:,} files rejected: see {dataset.rejected_csv}")
    if info.num_notes:
        lines.append(f"{info.num_notes:,} files were read with a note: see {dataset.notes_csv}")
    if info.num_passed_over:
        lines.append(f"{info.num_passed_over:,} other files passed over: no images, or named by no table")
    if info.generated:
        lines.append("Generated images (phantoms), not photographs.")
    num_duplicates = sum(1 for row in dataset.rows if row.duplicate_group)
    if num_duplicates:
        lines.append(f"{num_duplicates:,} images have a duplicate; a set of duplicates is never split by Nevus")
    num_left_out = sum(row.is_left_out for row in dataset.rows)
    if num_left_out:
        lines.append(f"{num_left_out:,} images are in no split, because the source has its own val or test split")
    lines += ["", counts_table(dataset.split_counts(), Counter(row.label for row in dataset.rows))]
    if any(not row.group for row in dataset.rows):
        lines += ["", f"Next: nevus split {dataset.directory}"]
    return "\n".join(lines)


def counts_table(split_counts: dict[str, dict[str, int]], all_counts: dict[str, int] | None = None) -> str:
    """A table of the number of images by split and class."""
    names = list(split_counts[SPLITS[0]])
    rows = {split: counts for split, counts in split_counts.items() if any(counts.values())}
    if not rows:
        rows = {"all": {name: (all_counts or {}).get(name, 0) for name in names}}
    width = max(12, *(len(printable(name)) + 2 for name in names))
    header = f"  {'':<6}" + "".join(printable(name).rjust(width) for name in names)
    body = [f"  {split:<6}" + "".join(f"{counts[name]:>{width},}" for name in names) for split, counts in rows.items()]
    return "\n".join([header, *body])

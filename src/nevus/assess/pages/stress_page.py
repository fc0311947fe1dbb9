"""The page of a stress test: each change with a picture, the metrics after it, and the decisions that flip.

Shows what `probing.stress` found and computes no metric. Names may hold anything: the template escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nevus.assess.evaluation import stress_form
from nevus.assess.pages.pictures import small_picture
from nevus.assess.pages.rendering import template
from nevus.core.errors import NevusError
from nevus.core.files import write_text
from nevus.core.image_changes import CHANGES
from nevus.core.machine import environment
from nevus.core.preprocess import Pixels
from nevus.core.runs import Run

# The changes that flip the most decisions, in the report of a run.
MOST_IN_REPORT = 6


def write_stress_page(path: Path, result: Mapping[str, Any], pixels: Sequence[Pixels]) -> None:
    """Writes the page.

    Args:
        path: of the HTML file.
        result: as `stress.json` holds it.
        pixels: uint8 [S, S, 3] of the images that it names as `pictured`, in that order.
    """
    found = stress_form.read(result)
    page = template("stress.html.j2").render(
        stress=found,
        pictures=pictures_of(found, dict(zip(found["pictured"], pixels, strict=True))),
        version=environment()["packages"].get("nevus", ""),
    )
    write_text(path, page)


def pictures_of(found: Mapping[str, Any], pixels: Mapping[str, Pixels]) -> dict[str, list[str]]:
    """Small pictures as data URIs: of images as they are, by an empty name, and by the name of each change.

    Args:
        found: from `stress_form`.
        pixels: uint8 [S, S, 3] by image id; empty if the images are gone.
    """
    shown = [(name, pixels[name]) for name in found["pictured"] if name in pixels]
    if not shown:
        return {}
    wanted = {row["name"] for row in found["changes"]}
    changed = {
        change.name: [small_picture(change.apply(image, name)) for name, image in shown]
        for change in CHANGES
        if change.name in wanted
    }
    return {"": [small_picture(image) for _, image in shown], **changed}


def pictures_of_run(run: Run, found: Mapping[str, Any] | None, most: int) -> dict[str, list[str]]:
    """The pictures of a stress test on a run's own dataset, of the first changes; empty if that is gone or another.

    Args:
        run: whose report shows them.
        found: from `stress_form.read_stress`.
        most: number of changes.
    """
    if found is None:
        return {}
    try:
        dataset = run.dataset
        if dataset.fingerprint != found["dataset_fingerprint"]:
            return {}
        wanted = set(found["pictured"])
        pixels = {row.image_id: dataset.pixels[row.pixel_index] for row in dataset.rows if row.image_id in wanted}
    except NevusError:
        return {}
    return pictures_of({**found, "changes": found["changes"][:most]}, pixels)

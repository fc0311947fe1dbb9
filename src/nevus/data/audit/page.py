"""Writes an audit: `audit.json` for programs, `audit.html` for people, with the pairs found as images.

The page holds everything, needs no script and asks nothing of any server. It
decides nothing: what is found, and how grave it is, is in the findings.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from nevus.core.dataset import Dataset
from nevus.core.files import write_json, write_text
from nevus.core.pages import page_templates
from nevus.core.preprocess import Pixels
from nevus.core.vocabulary import SEVERITIES
from nevus.data.audit.checks import CHECKS
from nevus.data.audit.findings import Finding, gravest_first
from nevus.data.names import as_text
from nevus.data.near_duplicates import DuplicatePair

SCHEMA_VERSION = 1
# Two images of about 4 KB each a pair: a page of a megabyte.
MOST_PAIRS = 100
_THUMBNAIL_SIZE = 128


@dataclass(frozen=True, slots=True)
class _Side:
    image_id: str
    label: str
    split: str
    data_uri: str


@dataclass(frozen=True, slots=True)
class _Card:
    first: _Side
    second: _Side
    pair: DuplicatePair
    numbers: str


def write_audit(dataset: Dataset, findings: Sequence[Finding]) -> Path:
    """Writes `audit.json` and `audit.html` into the dataset's folder.

    Returns:
        The path of the page.

    Raises:
        DataError: the dataset cannot be read.
    """
    numbers = {finding.number for finding in findings}
    passed = {check.number: check.title for check in CHECKS if check.number not in numbers}
    counts = {severity: sum(finding.evidence.severity == severity for finding in findings) for severity in SEVERITIES}
    cards = _cards(dataset, findings)
    page = (
        page_templates("nevus.data.audit")
        .get_template("audit.html.j2")
        .render(
            dataset=as_text(dataset.directory.resolve().name),
            generated=dataset.info.generated,
            num_images=len(dataset.rows),
            counts=counts,
            findings=gravest_first(findings),
            passed=passed,
            cards=cards,
            num_pairs=len({pair for finding in findings for pair in finding.evidence.pairs}),
        )
    )
    write_text(dataset.audit_html, page)
    # Last: a page that is missing or older would be taken for the one that belongs to it.
    write_json(
        dataset.audit_json,
        {
            "schema_version": SCHEMA_VERSION,
            "dataset_fingerprint": dataset.fingerprint,
            "num_images": len(dataset.rows),
            "counts": counts,
            "passed": list(passed),
            "findings": [finding.to_json() for finding in findings],
        },
    )
    return dataset.audit_html


def _cards(dataset: Dataset, findings: Sequence[Finding]) -> list[_Card]:
    """The pairs worth a look, each once: of the gravest findings first, then the least alike."""
    rows = {row.image_id: row for row in dataset.rows}
    numbers: dict[DuplicatePair, list[str]] = {}
    for finding in gravest_first(findings):
        for pair in sorted(finding.evidence.pairs, key=lambda pair: pair.similarity):
            numbers.setdefault(pair, []).append(finding.number)

    def side(image_id: str) -> _Side:
        row = rows[image_id]
        return _Side(image_id, row.label, row.split, _data_uri(dataset.pixels[row.pixel_index]))

    return [
        _Card(side(pair.first), side(pair.second), pair, ", ".join(found))
        for pair, found in list(numbers.items())[:MOST_PAIRS]
    ]


def _data_uri(pixels: Pixels) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((_THUMBNAIL_SIZE, _THUMBNAIL_SIZE))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

"""Metrics by sex, age band, site or whatever else the manifest says of an image, and the gaps between them.

Owns which columns make subgroups, and which subgroups are too small to be judged.
It must not choose a threshold: decisions are given, by the one rule for all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nevus.assess.sections.calibration import CALIBRATION
from nevus.assess.sections.decisions import DECISIONS, Decided
from nevus.assess.sections.inputs import Scored
from nevus.assess.sections.metric import Metric, Part, Sampling, Surface, estimate, shown_on
from nevus.assess.sections.scores import SCORES
from nevus.assess.sections.section import Judged, Section
from nevus.assess.sections.shapes import count, estimated, flag, text
from nevus.assess.statistics.calibration import calibration_line
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups, difference_of_independent
from nevus.assess.statistics.undefined import collected_notes
from nevus.core.estimate import Estimate

# The metrics that are given for each subgroup.
_OF_RISK = shown_on(Surface.SUBGROUPS, SCORES)
_OF_DECISIONS = shown_on(Surface.SUBGROUPS, DECISIONS)
_OF_LINE = tuple(row for row in CALIBRATION if isinstance(row, Metric) and row.name in ("slope", "intercept"))
METRICS = (*_OF_RISK, *_OF_DECISIONS, *_OF_LINE)
# A slope and an intercept are matters of other sizes than shares.
_OF_GAPS = (*_OF_RISK, *_OF_DECISIONS)
NOT_RECORDED = "not recorded"

# With fewer groups of a class a metric moves by over a tenth with one of them.
FEWEST_GROUPS = 10

# No metric of a subgroup has an interval that needs the bootstrap.
_NO_SAMPLING = Sampling(0, 0)

_MOST_VALUES = 20
_IDENTIFIERS = ("lesion_id", "patient_id")
_AGE_BANDS = ((0, "0-29"), (30, "30-49"), (50, "50-69"), (70, "70+"))


def measure(
    columns: Mapping[str, Sequence[str]], labels: Bools, risk: Floats, groups: Groups, called: Bools
) -> list[dict[str, Any]]:
    """ROC-AUC, sensitivity, specificity, PPV and the calibration line for each value of each column, with counts.

    Args:
        columns: of the manifest, by name, as text, each of length N.
        labels: bool [N], True for malignant.
        risk: float64 [N] in [0, 1].
        groups: int64 [N].
        called: bool [N], True for images that are called malignant.

    Returns:
        A row a subgroup, in the form that docs/evaluation.md describes. Identifiers, columns with one value and
        those with over 20 are left out. `too_small` marks subgroups with fewer than 10 malignant or 10 benign
        groups; their metrics are given all the same, NaN where a class is absent.
    """
    rows = []
    for column, cells in columns.items():
        values = _values(column, cells)
        for value in _in_order(values):
            members = np.asarray(values) == value
            figures = _figures(labels[members], risk[members], called[members], groups[members])
            rows.append({"column": column, "value": value, **figures})
    return rows


def largest_gaps(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each column and metric the two subgroups furthest apart, of those that are not too small or unrecorded.

    Args:
        rows: from `measure`.

    Returns:
        `gap` is the higher less the lower metric, as of `difference_of_independent`. Its interval does not
        allow for the choice of the two among several, which alone makes a gap: with more subgroups, a larger one.
    """
    gaps = []
    for column in dict.fromkeys(row["column"] for row in rows):
        for name in (metric.name for metric in _OF_GAPS):
            found = [
                (row["value"], Estimate.from_json(row[name]))
                for row in rows
                if row["column"] == column and not row["too_small"] and row["value"] != NOT_RECORDED
            ]
            defined = sorted((one for one in found if not math.isnan(one[1].value)), key=lambda one: one[1].value)
            if len(defined) > 1:
                (lowest, low), (highest, high) = defined[0], defined[-1]
                gap = difference_of_independent(high, low).to_json()
                gaps.append({"column": column, "figure": name, "lowest": lowest, "highest": highest, "gap": gap})
    return gaps


def _figures(labels: Bools, risk: Floats, called: Bools, groups: Groups) -> dict[str, Any]:
    malignant_groups, benign_groups = (int(np.unique(groups[members]).size) for members in (labels, ~labels))
    images = Scored(labels, risk, np.unique(groups, return_inverse=True)[1].astype(np.int64))
    with collected_notes():  # The counts next to a metric say why it is undefined.
        estimates = estimate(
            {
                "risk": Part({metric.name: metric.how for metric in _OF_RISK}, images, lambda weights: weights),
                "decisions": Part(
                    {metric.name: metric.how for metric in _OF_DECISIONS},
                    Decided(labels, called),
                    lambda weights: weights,
                ),
            },
            images.groups,
            _NO_SAMPLING,
        )
        line = calibration_line(labels, risk, images.groups)
    return {
        "num_images": int(labels.size),
        "num_malignant": int(labels.sum()),
        "num_benign": int((~labels).sum()),
        "num_malignant_groups": malignant_groups,
        "num_benign_groups": benign_groups,
        "too_small": min(malignant_groups, benign_groups) < FEWEST_GROUPS,
        **{name: one.to_json() for found in estimates.values() for name, one in found.items()},
        "slope": line.slope.to_json(),
        "intercept": line.intercept.to_json(),
    }


def _values(column: str, cells: Sequence[str]) -> list[str]:
    """The value of each image that makes its subgroup; an empty list if the column makes none."""
    if column in _IDENTIFIERS:
        return []
    values = [cell.strip() or NOT_RECORDED for cell in cells]
    if column.lower().startswith("age"):
        values = _in_bands(values)
    return values if 1 < len(set(values)) <= _MOST_VALUES else []


def _in_bands(values: list[str]) -> list[str]:
    """Ages in years as bands; a column with anything but numbers is left as it is: it holds bands already."""
    try:
        ages = [math.nan if value == NOT_RECORDED else float(value) for value in values]
    except ValueError:
        return values
    return [next((band for start, band in reversed(_AGE_BANDS) if age >= start), NOT_RECORDED) for age in ages]


def _in_order(values: Sequence[str]) -> list[str]:
    """The distinct values in alphabetical order, which for bands is that of age; what is not recorded comes last."""
    return sorted(set(values), key=lambda value: (value == NOT_RECORDED, value))


def _measure(judged: Judged, sampling: Sampling) -> list[dict[str, Any]]:
    called = judged.decisions[judged.default_point]
    return measure(judged.predictions.columns, *judged.images, called=called)


GAP_SHAPE = {**dict.fromkeys(("column", "figure", "lowest", "highest"), text), "gap": estimated}

SECTION = Section(
    "subgroups",
    [
        {
            **dict.fromkeys(("column", "value"), text),
            "too_small": flag,
            **dict.fromkeys(("num_images", "num_malignant", "num_benign"), count),
            **{metric.name: estimated for metric in _OF_GAPS},
            # Files of earlier versions lack them.
            **{f"{metric.name}?": estimated for metric in _OF_LINE},
        }
    ],
    _measure,
    to_json=lambda fitted, splits: {
        "subgroups": splits,
        "subgroup_gaps": {split: largest_gaps(rows) for split, rows in splits.items()},
    },
    form=lambda of_splits: {
        "subgroups?": of_splits,
        "subgroup_gaps?": {split: [GAP_SHAPE] for split in of_splits},
    },
    is_optional=True,
)

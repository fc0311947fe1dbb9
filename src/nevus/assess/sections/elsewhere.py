"""What only data from elsewhere show: calibration in the large, the thresholds needed there, diagnoses and sources.

Each function looks at images about which everything was decided before they were seen, and gives JSON. The one thing
that is fitted here is said to be so: the threshold that would have been needed. It must not read files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nevus.assess.sections import decisions, thresholds
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.sections.inputs import Scored
from nevus.assess.sections.metric import Part, Sampling, Share, estimate
from nevus.assess.sections.scores import SCORES
from nevus.assess.sections.shapes import count, estimated, flag, known, number, text
from nevus.assess.sections.subgroups import FEWEST_GROUPS
from nevus.assess.statistics import calibration, uncertainty
from nevus.assess.statistics.metrics import Bools
from nevus.assess.statistics.undefined import collected_notes
from nevus.core.estimate import Estimate
from nevus.core.operating_point import OperatingPoint

IN_THE_LARGE_SHAPE = {"mean_risk": number, "prevalence": number, "observed_over_expected": estimated}
NEEDED_SHAPE = {
    "name": text,
    **dict.fromkeys(("threshold_of_model", "threshold_needed"), known),
    **dict.fromkeys(("sensitivity", "specificity"), estimated),
}
DIAGNOSIS_SHAPE = {
    "name": text,
    "malignant": flag,
    **dict.fromkeys(("num_images", "num_groups"), count),
    "mean_risk": known,
    "called_malignant": estimated,
}
# At the default operating point.
_OF_SOURCES = tuple(metric for metric in DECISIONS if isinstance(metric.how, Share))
SOURCE_METRICS = (*SCORES, *_OF_SOURCES)
SOURCE_SHAPE = {
    "name": text,
    "too_small": flag,
    **dict.fromkeys(("num_images", "num_groups", "num_malignant", "num_left_out"), count),
    **IN_THE_LARGE_SHAPE,
    **dict.fromkeys(("slope", "intercept"), estimated),
    **{metric.name: estimated for metric in SOURCE_METRICS},
}


def in_the_large(images: Scored) -> dict[str, Any]:
    """Calibration in the large: the share of malignant images, against the mean risk [1].

    Args:
        images: labels bool [N], risk float64 [N] in [0, 1] and groups int64 [N].

    Returns:
        `mean_risk`, `prevalence`, and `observed_over_expected`, the second over the first: 1 is right, below 1 the
        risks are too high. Its interval is linearised.

    References:
        [1] Van Calster et al., A calibration hierarchy for risk models was defined, Journal of Clinical
            Epidemiology 74 (2016): the mean level.
    """
    labels, risk, groups = images
    expected = float(risk.sum())
    ratio = float(labels.sum()) / expected if expected > 0 else float("nan")
    return {
        "mean_risk": float(risk.mean()),
        "prevalence": float(labels.mean()),
        "observed_over_expected": uncertainty.linearised(ratio, (labels - ratio * risk) / expected, groups).to_json()
        if expected > 0
        else Estimate(ratio, ratio, ratio).to_json(),
    }


def needed_thresholds(images: Scored, points: Sequence[OperatingPoint]) -> list[dict[str, Any]]:
    """The threshold that each rule would have chosen, had it seen these images; empty if a class is absent.

    Args:
        images: labels bool [N], risk float64 [N] in [0, 1] and groups int64 [N].
        points: of the model; those of a rule that is not known are left out.

    Returns:
        A row a point, with sensitivity and specificity at the threshold that is needed. They are optimistic, because
        the threshold is chosen on the very images.
    """
    labels, risk, groups = images
    if labels.all() or not labels.any():
        return []
    rows = []
    for point in points:
        if point.name not in thresholds.RULES:
            continue
        needed = thresholds.choose(point.name, labels, risk, groups)
        rows.append(
            {
                "name": point.name,
                "threshold_of_model": point.threshold,
                "threshold_needed": needed.threshold,
                "sensitivity": needed.sensitivity.to_json(),
                "specificity": needed.specificity.to_json(),
            }
        )
    return rows


def by_diagnosis(images: Scored, called: Bools, diagnoses: Sequence[str]) -> list[dict[str, Any]]:
    """What share of each diagnosis is called malignant: which ones are missed, and which are mistaken for melanoma.

    Args:
        images: labels bool [N], risk float64 [N] in [0, 1] and groups int64 [N].
        called: bool [N], True for images that are called malignant.
        diagnoses: N names as the sources write them; images without one are left out.

    Returns:
        A row a diagnosis and kind, malignant ones first, the most frequent first.
    """
    labels, risk, groups = images
    names = np.asarray(diagnoses)
    rows = []
    for name in sorted(set(diagnoses) - {""}):
        for malignant in (True, False):
            members = (names == name) & (labels == malignant)
            if members.any():
                rows.append(
                    {
                        "name": name,
                        "malignant": malignant,
                        "num_images": int(members.sum()),
                        "num_groups": int(np.unique(groups[members]).size),
                        "mean_risk": float(risk[members].mean()),
                        "called_malignant": uncertainty.proportion(called[members], groups[members]).to_json(),
                    }
                )
    return sorted(rows, key=lambda row: (not row["malignant"], -row["num_images"], row["name"]))


def by_source(
    images: Scored, called: Bools, sources: Sequence[str], left_out: Bools, sampling: Sampling
) -> list[dict[str, Any]]:
    """The metrics of each source by itself.

    Args:
        images: labels bool [N], risk float64 [N] in [0, 1] and groups int64 [N].
        called: bool [N], True for images that are called malignant.
        sources: N names.
        left_out: bool [N]: images that the model was trained on, which are counted and not judged.
        sampling: of the bootstrap.

    Returns:
        A row a source, in order of appearance. `too_small` marks one with fewer than 10 malignant or 10 benign groups:
        its metrics are given all the same, NaN where a class is absent.
    """
    names = np.asarray(sources)
    return [
        {
            "name": name,
            "num_left_out": int((left_out & (names == name)).sum()),
            **_of_source(images, called, (names == name) & ~left_out, sampling),
        }
        for name in dict.fromkeys(sources)
    ]


def _of_source(images: Scored, called: Bools, members: Bools, sampling: Sampling) -> dict[str, Any]:
    labels, risk = images.labels[members], images.risk[members]
    groups = np.unique(images.groups[members], return_inverse=True)[1].astype(np.int64)
    of_class = [int(np.unique(groups[kind]).size) for kind in (labels, ~labels)]
    counts = {
        "too_small": min(of_class) < FEWEST_GROUPS,
        "num_images": int(labels.size),
        "num_groups": int(np.unique(groups).size),
        "num_malignant": int(labels.sum()),
    }
    if not labels.size:
        nothing = Estimate(np.nan, np.nan, np.nan).to_json()
        names = ("observed_over_expected", "slope", "intercept", *(metric.name for metric in SOURCE_METRICS))
        return {**counts, "mean_risk": np.nan, "prevalence": np.nan, **dict.fromkeys(names, nothing)}
    one = Scored(labels, risk, groups)
    decided = decisions.Decided(labels, called[members])
    with collected_notes():  # The counts next to a metric say why it is undefined.
        line = calibration.calibration_line(labels, risk, groups)
        found = estimate(
            {
                "risk": Part({row.name: row.how for row in SCORES}, one, lambda weights: (labels, risk, weights)),
                "decisions": Part({row.name: row.how for row in _OF_SOURCES}, decided, lambda weights: weights),
            },
            groups,
            sampling,
        )
    return {
        **counts,
        **in_the_large(one),
        "slope": line.slope.to_json(),
        "intercept": line.intercept.to_json(),
        **{name: value.to_json() for part in found.values() for name, value in part.items()},
    }

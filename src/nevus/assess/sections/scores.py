"""The scores of a split: metrics of the risk that need no threshold, with intervals."""

from __future__ import annotations

from typing import Any

from nevus.assess.sections.inputs import Scored
from nevus.assess.sections.metric import Bootstrapped, Direct, Metric, Part, Sampling, Surface, estimate
from nevus.assess.sections.section import Section
from nevus.assess.sections.shapes import count, estimated, number
from nevus.assess.statistics import delong, metrics

_EVERYWHERE = frozenset({Surface.TERMINAL, Surface.CARD, Surface.COMPARISON})

SCORES = (
    Metric(
        "roc_auc",
        "ROC-AUC",
        "the chance that a malignant image has a higher risk than a benign one",
        "Hanley and McNeil, Radiology 143:29 (1982)",
        Direct(
            lambda images: delong.roc_auc(*images),
            "roc_auc",
            lambda own, other: delong.roc_auc_difference(own.labels, own.risk, other.risk, own.groups),
        ),
        _EVERYWHERE | {Surface.DIFFERENCE, Surface.SUBGROUPS},
    ),
    Metric(
        "average_precision",
        "Average precision",
        "the mean share of malignant images among those with a higher risk, taken at each malignant image",
        "Davis and Goadrich, ICML 2006",
        Bootstrapped(
            lambda images: metrics.average_precision(images.labels, images.risk),
            lambda weighed: metrics.weighted_average_precision(*weighed),
        ),
        _EVERYWHERE,
    ),
    Metric(
        "brier",
        "Brier score",
        "the mean squared difference between the risk and the truth; lower is better",
        "Brier, Monthly Weather Review 78:1 (1950)",
        Bootstrapped(
            lambda images: metrics.brier(images.labels, images.risk),
            lambda weighed: metrics.weighted_brier(*weighed),
        ),
        _EVERYWHERE,
        hub="brier_score",
    ),
)

SHAPE = {
    **dict.fromkeys(("num_images", "num_groups", "num_malignant"), count),
    "prevalence": number,
    **{metric.name: estimated for metric in SCORES},
}


def measure(images: Scored, sampling: Sampling) -> dict[str, Any]:
    """Counts and scores of one split.

    Args:
        images: labels bool [N], risk float64 [N] in [0, 1] and groups int64 [N].
        sampling: of the bootstrap.
    """
    labels, risk, groups = images
    part = Part({metric.name: metric.how for metric in SCORES}, images, lambda weights: (labels, risk, weights))
    return {
        "num_images": int(labels.size),
        "num_groups": int(groups.max()) + 1,
        "num_malignant": int(labels.sum()),
        "prevalence": float(labels.mean()),
        **{name: found.to_json() for name, found in estimate({"": part}, groups, sampling)[""].items()},
    }


SECTION = Section(
    "splits", SHAPE, lambda judged, sampling: measure(judged.images, sampling), on_validation=True, is_optional=False
)

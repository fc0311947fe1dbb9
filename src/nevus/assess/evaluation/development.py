"""The metrics of a model's own test, as its file tells them, next to the same on images from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nevus.assess.sections.classified import CLASSIFICATION
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.sections.scores import SCORES
from nevus.assess.statistics.uncertainty import difference_of_independent
from nevus.core.estimate import Estimate
from nevus.core.files import finite
from nevus.core.labels import Classes
from nevus.core.modelfile import ModelSpec

# As the export names the metrics of the test without its leaked images.
_WITHOUT_LEAKS = " without leaks"


def development(spec: ModelSpec) -> dict[str, tuple[str, Estimate, bool]]:
    """The metrics of the model's own test that can be had elsewhere as well.

    Returns:
        By their names in the model file (`roc_auc`, `sensitivity at youden`): the title, the value, and whether
        it is of the test without leaked images, which is preferred where there is one. Undefined ones are left out.
    """
    titles = {metric.name: metric.title for metric in (*CLASSIFICATION, *SCORES)}
    titles |= {
        f"{metric.name} at {point.name}": f"{metric.title} at {point.name}"
        for point in spec.operating_points
        for metric in DECISIONS
    }
    found = {}
    for name, title in titles.items():
        clean = spec.test_metrics.get(name + _WITHOUT_LEAKS)
        values = clean or spec.test_metrics.get(name)
        if values and values[0] is not None:
            estimate = Estimate(*(math.nan if one is None else one for one in values))
            found[name] = title, estimate, clean is not None
    return found


def against_development(spec: ModelSpec, measured: Mapping[str, Any], classes: Classes) -> dict[str, Any]:
    """Each metric of the development test that is known, here, and how far it is from there.

    Args:
        spec: of the model.
        measured: what the sections measured on one version of the images.
        classes: by which they were judged.
    """
    here = by_name(measured)
    # A model of several classes that is judged by malignant or benign alone has other classes here.
    same_classes = classes == spec.classes
    of_classes = {metric.name for metric in CLASSIFICATION} - {metric.name for metric in SCORES}
    return {
        name: {
            "here": here[name].to_json(),
            "difference": difference_of_independent(here[name], value).to_json(),
        }
        for name, (_, value, _) in development(spec).items()
        if name in here and (same_classes or name not in of_classes)
    }


def by_name(measured: Mapping[str, Any]) -> dict[str, Estimate]:
    """The metrics of one version of the images, by the names that a model file gives them."""
    of_classes = measured["classification"]
    found = {metric.name: of_classes[metric.name] for metric in CLASSIFICATION if metric.name in of_classes}
    found |= {metric.name: measured["splits"][metric.name] for metric in SCORES}
    found |= {
        f"{metric.name} at {point}": at_point[metric.name]
        for point, at_point in measured["operating_points"].items()
        for metric in DECISIONS
    }
    return {name: Estimate.from_json(finite(value)) for name, value in found.items()}

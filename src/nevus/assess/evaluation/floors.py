"""The least values that a validation must reach, for jobs that should fail where a model does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nevus.assess.evaluation.development import by_name
from nevus.assess.evaluation.validation import quoted
from nevus.assess.sections.classified import CLASSIFICATION
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.sections.scores import SCORES
from nevus.core.errors import ConfigError
from nevus.core.estimate import Estimate
from nevus.core.modelfile import ModelSpec

_LESS_IS_BETTER = ("brier",)


def floors_of(spec: ModelSpec, asked: Mapping[str, float], default_point: str) -> dict[str, float]:
    """The least values that are asked for, by their names in `metrics`: a metric of decisions is at the default point.

    Args:
        spec: of the model.
        asked: by name, such as `roc_auc`, `sensitivity` or `sensitivity at youden`.
        default_point: the name of the default operating point.

    Raises:
        ConfigError: there is no such metric, or less of it is better.
    """
    scores = [metric.name for metric in SCORES]
    of_decisions = [metric.name for metric in DECISIONS]
    at_points = [f"{name} at {point.name}" for point in spec.operating_points for name in of_decisions]
    of_classes = [metric.name for metric in CLASSIFICATION if metric.name not in (*scores, *of_decisions)]
    for name in asked:
        if name in _LESS_IS_BETTER:
            raise ConfigError(f"--fail-under {name}: less of it is better. Expected a metric of which more is better.")
        if name not in (*scores, *of_decisions, *at_points, *of_classes):
            names = ", ".join(one for one in (*scores, *of_decisions, *of_classes) if one not in _LESS_IS_BETTER)
            raise ConfigError(
                f"--fail-under {name}: there is no such metric. Expected one of: {names}; "
                f"those of decisions also as in 'sensitivity at {default_point}'."
            )
    return {f"{name} at {default_point}" if name in of_decisions else name: least for name, least in asked.items()}


def shortfalls(result: Mapping[str, Any], floors: Mapping[str, float]) -> list[str]:
    """What is below its least value, a phrase each; images that the model was trained on do not count.

    Args:
        result: from `validate`.
        floors: from `floors_of`.
    """
    split = quoted(result)
    found = by_name(
        {
            "splits": result["splits"][split],
            "classification": result["classification"][split],
            "operating_points": {point["name"]: point[split] for point in result["operating_points"]},
        }
    )
    undefined = Estimate(math.nan, math.nan, math.nan)
    values = {name: found.get(name, undefined) for name in floors}
    return [
        f"{name} is {values[name]}, below the {least:g} of --fail-under"
        if not math.isnan(values[name].value)
        else f"{name} is not defined on these images, so it is not the {least:g} of --fail-under"
        for name, least in floors.items()
        if not values[name].value >= least
    ]

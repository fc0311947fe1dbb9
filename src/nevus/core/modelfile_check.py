"""Whether the values in a model file's description can be true, each by itself and all together."""

from __future__ import annotations

import math
from itertools import compress, pairwise
from typing import TYPE_CHECKING

from nevus.core.errors import ModelFileError

if TYPE_CHECKING:
    from nevus.core.modelfile import GoldenCase, ModelSpec
    from nevus.core.operating_point import OperatingPoint

# Nearer to 0 or 1 a risk re-based to another prevalence is lost in rounding.
LEAST_PREVALENCE = 1e-6

_MOST_SIDE = 4096
# The golden inputs of an export are four, of up to seven times as many pixels as the image that the network sees.
_MOST_GOLDEN = 16
_MOST_GOLDEN_SIDES, _SMALL = 3, 32
# What the two thresholds of a triage are chosen by, less a little: images may have weights there.
_LEAST_SENSITIVITY, _LEAST_SPECIFICITY = 0.96, 0.93
# Of estimates; and of golden answers, whose probabilities a format of eight bits rounds.
_ROUNDING = 1e-3
_ROUNDING_OF_ANSWERS = 0.05


def check_values(spec: ModelSpec) -> None:
    """Checks a description that could be read.

    Raises:
        ModelFileError: a value is out of range, or two contradict each other.
    """
    if not 1 <= spec.image_size <= _MOST_SIDE:
        raise ModelFileError(f"The model's image_size is {spec.image_size}. Expected 1 to {_MOST_SIDE}.")
    if not (math.isfinite(spec.temperature) and spec.temperature > 0):
        raise ModelFileError(f"The model's temperature is {spec.temperature}. Expected a number above 0.")
    if not all(0.0 <= point.threshold <= 1.0 for point in spec.operating_points):
        raise ModelFileError("An operating point of the model has a threshold outside [0, 1]. Export the model again.")
    if not LEAST_PREVALENCE <= spec.assumed_prevalence <= 1.0 - LEAST_PREVALENCE:
        raise ModelFileError(
            f"The model's assumed_prevalence is {spec.assumed_prevalence}. "
            f"Expected a share from {LEAST_PREVALENCE:g} to 1 - {LEAST_PREVALENCE:g}. Train the model again."
        )
    _check_points(spec)
    _check_triage(spec)
    if len(spec.golden) > _MOST_GOLDEN:
        raise ModelFileError(f"The model has {len(spec.golden):,} golden answers. Expected {_MOST_GOLDEN} or fewer.")
    for case in spec.golden:
        _check_golden(case, spec)


def _check_points(spec: ModelSpec) -> None:
    """All points were chosen on the same images: a higher threshold finds no more of either class."""
    names = [point.name for point in spec.operating_points]
    if len(set(names)) < len(names):
        raise ModelFileError(f"Two operating points of the model have one name: {', '.join(sorted(names))}.")
    for lower, higher in pairwise(sorted(spec.operating_points, key=lambda point: point.threshold)):
        sensitivities, specificities = (
            [getattr(point, name).value for point in (lower, higher)] for name in ("sensitivity", "specificity")
        )
        # Of NaN, for a class without images, neither is true. Equal thresholds decide alike.
        if sensitivities[1] > sensitivities[0] + _ROUNDING or specificities[1] < specificities[0] - _ROUNDING:
            raise _contradiction(
                f"'{higher.name}' has a higher threshold than '{lower.name}' and finds more malignant images, or fewer "
                "benign ones"
            )


def _check_triage(spec: ModelSpec) -> None:
    """Rule-out and rule-in are thresholds chosen on the same images as the operating points.

    A point that lies outside the uncertain band is one that is more sensitive than the rule-out threshold, or more
    specific than the rule-in threshold: it can be no less so than a point that lies within.
    """
    low, high = spec.triage.rule_out, spec.triage.rule_in
    within = [point for point in spec.operating_points if low <= point.threshold and not point.threshold > high]
    default = spec.operating_point()
    if within and default not in within and not _explains(default, spec):
        within = []
    if not within:
        raise _contradiction(
            f"'{default.name}' decides at {default.threshold:g}, where triage is "
            f"{'low' if default.threshold < low else 'high'} already (low below {low:g}, high from {high:g})"
        )


def _explains(point: OperatingPoint, spec: ModelSpec) -> bool:
    """Whether a point that decides outside the uncertain band is as sensitive, or specific, as that asks."""
    if point.threshold < spec.triage.rule_out:
        return not point.sensitivity.value < _LEAST_SENSITIVITY
    return not point.specificity.value < _LEAST_SPECIFICITY


def _contradiction(what: str) -> ModelFileError:
    return ModelFileError(
        f"The model's description contradicts itself: {what}. It may have been edited; export the model again."
    )


def _check_golden(case: GoldenCase, spec: ModelSpec) -> None:
    most = _MOST_GOLDEN_SIDES * max(spec.image_size, _SMALL)
    if not (0 < case.height <= most and 0 < case.width <= most):
        raise ModelFileError(
            f"A golden input of the model has {case.height} x {case.width} pixels. Expected sides of 1 to {most}."
        )
    shares = case.probabilities
    is_whole = len(shares) == len(spec.classes.names) and all(-_ROUNDING <= one <= 1.0 + _ROUNDING for one in shares)
    if not (is_whole and abs(sum(shares) - 1.0) <= _ROUNDING_OF_ANSWERS):
        raise ModelFileError(
            "A golden answer of the model is not one probability for each class, with a sum of 1. Export it again."
        )
    malignant = sum(compress(shares, spec.classes.malignant_mask))
    if not abs(malignant - case.risk) <= _ROUNDING_OF_ANSWERS:
        raise _contradiction(
            f"a golden answer has the risk {case.risk:.4f} and gives {' and '.join(spec.classes.malignant)} together "
            f"{malignant:.4f}, so these are the names of other classes than the graph's"
        )

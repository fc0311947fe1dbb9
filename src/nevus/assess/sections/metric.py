"""What a metric is: one row with its name, its words, how it is estimated, and where it is shown.

Owns the form of a row and how rows become estimates. The rows themselves are in the
sections: `scores`, `decisions` and `classification`. Whatever shows metrics goes
through the rows, so that a metric that has a row is shown everywhere that it names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nevus.assess.statistics import uncertainty
from nevus.assess.statistics.bootstrap import bootstrap
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.paired import right_share_difference
from nevus.assess.statistics.uncertainty import Difference, Groups
from nevus.assess.statistics.undefined import undefined
from nevus.core.estimate import Estimate


class Surface(Enum):
    """Where a metric can be shown besides `metrics.json` and the tables of the report."""

    TERMINAL = auto()
    TERMINAL_WITHOUT_INTERVAL = auto()
    CARD = auto()
    COMPARISON = auto()
    DIFFERENCE = auto()
    SUBGROUPS = auto()


class Sampling(NamedTuple):
    """How the bootstrap draws: how many resamples, and its seed."""

    resamples: int
    seed: int


@dataclass(frozen=True, slots=True)
class Share:
    """A proportion, with Wilson's interval.

    Attributes:
        counted_and_right: from what is judged to two bool [N]: the images that count, and those that are right.
        undefined: why there is no proportion if no image counts; empty if that cannot be.
    """

    counted_and_right: Callable[[Any], tuple[Bools, Bools]]
    undefined: str = ""
    method: str = "proportions"


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """A metric whose interval comes from resampling groups.

    Attributes:
        value: from what is judged to a number.
        weighted: from what is judged under R sets of weights to float64 [R], NaN where it is undefined.
        is_reflected: turn the interval round its estimate ('basic', Davison and Hinkley 1997, section 5.2), for a
            metric of 0 or more that resampling can only raise.
    """

    value: Callable[[Any], float]
    weighted: Callable[[Any], Floats]
    is_reflected: bool = False
    method: str = "others"


@dataclass(frozen=True, slots=True)
class Direct:
    """A metric that comes with an interval of its own.

    Attributes:
        estimate: from what is judged.
        method: the key of its method in `uncertainty.METHODS`.
        difference: from what is judged of two models on the same images to how far the first is above the second;
            needed where differences are shown.
    """

    estimate: Callable[[Any], Estimate]
    method: str
    difference: Callable[[Any, Any], Difference] | None = None


How = Share | Bootstrapped | Direct


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of a table of metrics.

    Attributes:
        name: the key in `metrics.json`.
        title: the heading, everywhere.
        words: what it says, as a phrase.
        source: the publication that it comes from.
        how: how it is estimated.
        shown: where, besides the file and the report.
        formula: of counts, for the documentation.
        hub: the identifier that hubs of models know it by, where that is not its name.
    """

    name: str
    title: str
    words: str
    source: str
    how: How
    shown: frozenset[Surface] = frozenset()
    formula: str = ""
    hub: str = ""


def difference(metric: Metric, own: Any, other: Any, groups: Groups) -> Difference:
    """How far a metric of one model is above that of another on the same images, paired.

    Args:
        metric: a share of images that the truth alone selects, or one with a `difference` of its own.
        own: what is judged of the model.
        other: the same of the other model.
        groups: int64 [N].
    """
    if isinstance(metric.how, Direct) and metric.how.difference:
        return metric.how.difference(own, other)
    if not isinstance(metric.how, Share):
        raise TypeError(f"{metric.name} has no test of a difference, and cannot be shown on {Surface.DIFFERENCE}.")
    (counted, right), (_, other_right) = (metric.how.counted_and_right(one) for one in (own, other))
    return right_share_difference(right[counted], other_right[counted], groups[counted])


def shown_on(surface: Surface, metrics: Iterable[Metric]) -> list[Metric]:
    """The metrics that are shown there, in their order."""
    return [metric for metric in metrics if surface in metric.shown]


@dataclass(frozen=True, slots=True)
class Part:
    """Metrics of one kind that are estimated together.

    Attributes:
        metrics: how each is estimated, by name.
        judged: what the functions of the metrics are given.
        weigh: from weights float64 [R, N] to what `Bootstrapped.weighted` is given.
        suffix: what notes say after the name of a metric, such as ' at youden'.
    """

    metrics: Mapping[str, How]
    judged: Any
    weigh: Callable[[Floats], Any]
    suffix: str = ""


def estimate(
    parts: Mapping[str, Part], groups: Groups, sampling: Sampling, classes: NDArray[np.int64] | None = None
) -> dict[str, dict[str, Estimate]]:
    """Estimates the metrics of several parts with one set of resamples.

    Args:
        parts: by name.
        groups: int64 [N].
        sampling: of the bootstrap.
        classes: int64 [N], the class of each image, for metrics that need all of them; None for others.

    Returns:
        The estimates by part and by name of the metric; NaN, with a note, for what is undefined.
    """
    found: dict[str, dict[str, Estimate]] = {}
    resampled: dict[str, tuple[str, str, Bootstrapped]] = {}
    for part_name, part in parts.items():
        found[part_name] = {}
        for name, how in part.metrics.items():
            noted_as = name + part.suffix
            one = found[part_name][name] = _without_resampling(noted_as, how, part.judged, groups)
            if isinstance(how, Bootstrapped) and not math.isnan(one.value):
                resampled[noted_as] = (part_name, name, how)
    if not resampled:
        return found

    def under(weights: Floats) -> Floats:
        weighed = {part_name: parts[part_name].weigh(weights) for part_name, _, _ in resampled.values()}
        return np.stack([how.weighted(weighed[part_name]) for part_name, _, how in resampled.values()])

    ends = bootstrap(under, list(resampled), groups, **sampling._asdict(), classes=classes)
    for noted_as, (part_name, name, how) in resampled.items():
        found[part_name][name] = _with_ends(found[part_name][name].value, *ends[noted_as], how.is_reflected)
    return found


def _without_resampling(noted_as: str, how: How, judged: Any, groups: Groups) -> Estimate:
    """The estimate, still without the interval that only the bootstrap gives."""
    if isinstance(how, Direct):
        return how.estimate(judged)
    if isinstance(how, Bootstrapped):
        return Estimate(how.value(judged), math.nan, math.nan)
    counted, right = how.counted_and_right(judged)
    if how.undefined and not counted.any():
        undefined(noted_as, how.undefined)
    return uncertainty.proportion(right[counted], groups[counted])


def _with_ends(value: float, low: float, high: float, is_reflected: bool) -> Estimate:
    if not is_reflected:
        return Estimate(value, low, high)
    return Estimate(value, float(np.maximum(2.0 * value - high, 0.0)), float(np.maximum(2.0 * value - low, value)))

"""What a section of an evaluation is: what it fits on validation, and what it measures on a split.

Owns the form that all sections share, and what they are given. A section must not fit
anything on the test: `fit` sees validation alone, `measure` sees a split to which
everything that was fitted has been applied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nevus.assess.sections.inputs import Scored
from nevus.assess.sections.metric import Sampling
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.core.predictions import Predictions


class Validation(NamedTuple):
    """The images on which everything is fitted.

    Attributes:
        predictions: of the validation split, without images that were trained on; their `probabilities` undo the
            class weights of training.
        temperature: above 0, fitted on them.
        images: their labels, risks after the temperature, and groups.
        default_point: the name of the operating point for decisions unless another is requested.
        fingerprint: SHA-256 of the file that they were read from.
        weights: float64 [N] above 0, how much each counts where thresholds are chosen; None for all alike.
    """

    predictions: Predictions
    temperature: float
    images: Scored
    default_point: str
    fingerprint: str
    weights: Floats | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The same images where malignant lesions are rarer or more common.

    Attributes:
        prevalence: there, in (0, 1).
        risk_at_thresholds: by operating point what its threshold, or that of each fold, means there.
        risk: float64 [N] in [0, 1], re-based to `prevalence`.
    """

    prevalence: float
    risk_at_thresholds: Mapping[str, float | list[float]]
    risk: Floats


@dataclass(frozen=True, slots=True)
class Judged:
    """The N images of a split, with all that was decided about them by what validation fitted.

    Attributes:
        predictions: logits that `temperature` still divides.
        temperature: above 0.
        images: labels, calibrated risks and groups.
        risks: float64 [N] in [0, 1] by name: before and after the class weights are undone and the temperature,
            isotonic.
        decisions: bool [N] by operating point, True for called malignant.
        default_point: the name of the default one among them.
        called: bool [N] by class: whether the image is called that class at the threshold of the class.
        low: bool [N]: ruled out by the triage.
        high: bool [N]: ruled in by the triage.
        sets: bool [N, C] by error rate: the classes in each image's conformal set.
        elsewhere: None unless a prevalence was named.
        assured: the thresholds with assurance, one for each target, NaN where there is none; empty where none was
            fitted.
    """

    predictions: Predictions
    temperature: float
    images: Scored
    risks: Mapping[str, Floats]
    decisions: Mapping[str, Bools]
    default_point: str
    called: Mapping[str, Bools]
    low: Bools
    high: Bools
    sets: Mapping[float, Bools] = field(default_factory=dict)
    elsewhere: Elsewhere | None = None
    assured: Sequence[float] = ()


def _nothing(validation: Validation) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Section:
    """A section of `metrics.json`.

    Attributes:
        name: its key there.
        shape: of what `measure` gives, in the words of `shapes`.
        measure: what a split shows, as JSON; None if the section does not apply.
        fit: what validation decides.
        to_json: the section's part of the file, from what was fitted and from what each split shows, by its name;
            the latter alone if not given.
        form: the shape of that part, from the shapes by name of the split; these alone if not given.
        on_validation: whether validation is measured too, besides the test.
        is_optional: whether a file may lack the section.
    """

    name: str
    shape: Any
    measure: Callable[[Judged, Sampling], Any]
    fit: Callable[[Validation], Any] = _nothing
    to_json: Callable[[Any, Mapping[str, Any]], Mapping[str, Any]] | None = None
    form: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    on_validation: bool = False
    is_optional: bool = False

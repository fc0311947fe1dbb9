"""An update of a model for another place: chosen on labelled images, and judged on them by cross-fitting.

Owns the order in which update, thresholds and metrics are worked out, so that every image's metric comes from an update
that was fitted without it. It must not know model files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nevus.assess.evaluation.adaptation_size import Needed, count_groups, images_needed
from nevus.assess.sections import calibration, screening, thresholds, triage
from nevus.assess.sections.metric import Sampling
from nevus.assess.statistics import delong, updating
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.paired import right_share_difference
from nevus.assess.statistics.uncertainty import Groups, proportion
from nevus.assess.statistics.undefined import collected_notes
from nevus.core.errors import DataError
from nevus.core.operating_point import ADAPTATION, OperatingPoint
from nevus.core.triage import Triage

NUM_FOLDS = 10

_RULE = "{rule}; the images of the adaptation took the place of validation"


class Images(NamedTuple):
    """Labelled images with a model's answers as they are.

    Attributes:
        labels: bool [N], True for malignant.
        risk: float64 [N] in [0, 1].
        log_odds: float64 [N], of the risk.
        groups: int64 [N], codes from 0.
    """

    labels: Bools
    risk: Floats
    log_odds: Floats
    groups: Groups

    def where(self, chosen: Bools) -> Images:
        """The images of a mask, bool [N]."""
        return Images(self.labels[chosen], self.risk[chosen], self.log_odds[chosen], self.groups[chosen])


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What becomes of a model, and how it does.

    Attributes:
        chosen: the update, and the tests that chose it.
        needed: how many images it takes.
        operating_points: chosen again, on the updated risks of all images.
        triage: the same.
        assumed_prevalence: of the updated risks.
        metrics: before (the model as it is) and after (by cross-fitting), as JSON.
        notes: what a reader should know.
    """

    chosen: updating.Chosen
    needed: Needed
    operating_points: tuple[OperatingPoint, ...]
    triage: Triage
    assumed_prevalence: float
    metrics: dict[str, Any]
    notes: tuple[str, ...]


class _Fitted(NamedTuple):
    """What images choose: the update, and thresholds on the updated risk by operating point; and the triage."""

    chosen: updating.Chosen
    points: tuple[OperatingPoint, ...]
    bands: Triage


def adapt(
    images: Images, points: Sequence[OperatingPoint], bands: Triage, *, sampling: Sampling, fingerprint: str = ""
) -> Adaptation:
    """Chooses an update and thresholds for a model.

    Args:
        images: of the place, with benign and malignant ones.
        points: of the model; their rules choose the new thresholds.
        bands: of the model.
        sampling: of the bootstrap; its seed also makes the folds.
        fingerprint: SHA-256 of what the images were.

    Raises:
        DataError: the images are too few, the risk does not rise with malignancy, or an operating point has a rule
            that is not known.
    """
    needed, with_slope, notes = _check_size(images)
    rules = [point.name for point in points]
    if unknown := sorted(set(rules) - thresholds.RULES.keys()):
        raise DataError(
            f"The model has the operating point '{unknown[0]}', whose rule this version of Nevus does not know. "
            f"Expected some of: {', '.join(thresholds.RULES)}. Update Nevus, or export the model again."
        )
    with collected_notes() as undefined:
        fitted = _fit(images, rules, with_slope, fingerprint)
        after = cross_fit(images, rules, with_slope=with_slope, seed=sampling.seed)
        metrics = _measure(images, points, bands, after, sampling)
        assumed = screening.assumed_prevalence(
            images.labels, fitted.chosen.update.of_risk(images.log_odds), images.groups
        )
    if metrics["roc_auc"]["low"] <= 0.5:
        notes.append(
            "the interval of ROC-AUC reaches 0.5: on these images the model may tell malignant from benign no better "
            "than chance, and no update changes that"
        )
    return Adaptation(
        fitted.chosen, needed, fitted.points, fitted.bands, assumed, metrics, tuple(dict.fromkeys([*notes, *undefined]))
    )


def _check_size(images: Images) -> tuple[Needed, bool, list[str]]:
    """How many images it takes, whether they suffice for a slope, and what there is to say of it.

    Raises:
        DataError: they do not suffice for an intercept, or are all of one kind.
    """
    labels, groups = images.labels, images.groups
    if labels.all() or not labels.any():
        raise DataError(
            f"No image is {'benign' if labels.all() else 'malignant'}, of {labels.size:,}. Expected benign and "
            "malignant ones. Add images, or name the malignant diagnoses with --malignant."
        )
    needed, counts = images_needed(labels, images.log_odds, groups), count_groups(labels, groups)
    found = (
        f"{int(labels.sum()):,} malignant and {int((~labels).sum()):,} benign images, of {counts[0]:,} and "
        f"{counts[1]:,} lesions or patients,"
    )
    if sum(counts) < needed.for_intercept:
        raise DataError(
            f"{found} are too few to adapt a model. For its risks, and this share of malignant ones, expected at least "
            f"{needed.words(needed.for_intercept)} for an intercept, {needed.words(needed.for_slope)} for a slope too, "
            "each of another lesion or patient. Add images; the model is as it was. docs/adapt.md says where the "
            "numbers come from."
        )
    if updating.separates(labels, images.log_odds):
        return needed, False, ["a threshold tells all malignant images from all benign ones, so no slope can be fitted"]
    if sum(counts) < needed.for_slope:
        note = f"{found} are too few for a slope, which takes {needed.words(needed.for_slope)} ones"
        return needed, False, [note]
    if sum(counts) < needed.precise:
        note = f"for metrics as precise as those of a validation it takes {needed.words(needed.precise)} images"
        return needed, True, [note]
    return needed, True, []


def _fit(images: Images, rules: Sequence[str], with_slope: bool, fingerprint: str = "") -> _Fitted:
    labels, log_odds, groups = images.labels, images.log_odds, images.groups
    if float(log_odds[labels].mean()) <= float(log_odds[~labels].mean()):
        raise DataError(
            "The risk does not rise with malignancy on these images: on average it is no higher for malignant ones "
            "than for benign ones. No update can make that right. Check the labels, or train on images of this kind."
        )
    # Leaving out a part may separate what is left.
    with_slope = with_slope and not updating.separates(labels, log_odds)
    chosen = updating.choose_update(labels, log_odds, groups, with_slope=with_slope)
    risk = chosen.update.of_risk(log_odds)
    points = [thresholds.choose(rule, labels, risk, groups, fingerprint=fingerprint) for rule in rules]
    return _Fitted(
        chosen,
        tuple(replace(point, rule=_RULE.format(rule=point.rule), fitted_on=ADAPTATION) for point in points),
        triage.fit(labels, risk),
    )


class CrossFitted(NamedTuple):
    """What becomes of images by updates that were fitted without them.

    Attributes:
        risk: float64 [N] in [0, 1].
        decided: bool [P, N], at each of P operating points.
        low: bool [N], ruled out by the triage.
        high: bool [N], ruled in by the triage.
        updates: the name of the update of each fold.
    """

    risk: Floats
    decided: Bools
    low: Bools
    high: Bools
    updates: list[str]


def cross_fit(images: Images, rules: Sequence[str], *, with_slope: bool, seed: int) -> CrossFitted:
    """Goes through the whole procedure for each fold of the images, without it, and applies the outcome to it.

    Args:
        images: of the place.
        rules: of the operating points.
        with_slope: whether there may be a new slope.
        seed: of the folds.
    """
    shape = images.labels.shape
    found = CrossFitted(
        np.empty(shape),
        np.empty((len(rules), *shape), np.bool_),
        np.empty(shape, np.bool_),
        np.empty(shape, np.bool_),
        [],
    )
    for held_out in folds_of(images, seed):
        fitted = _fit(images.where(~held_out), rules, with_slope)
        risk = fitted.chosen.update.of_risk(images.log_odds[held_out])
        found.risk[held_out] = risk
        found.decided[:, held_out] = [risk >= point.threshold for point in fitted.points]
        found.low[held_out] = risk < fitted.bands.rule_out
        found.high[held_out] = risk >= fitted.bands.rule_in
        found.updates.append(fitted.chosen.name)
    return found


def folds_of(images: Images, seed: int) -> Iterator[Bools]:
    """Masks of the images, bool [N], each image in one; groups stay whole, and those with malignant ones are spread."""
    is_malignant = np.zeros(int(images.groups.max()) + 1, dtype=np.bool_)
    is_malignant[images.groups[images.labels]] = True
    random = np.random.default_rng(seed)
    folds: NDArray[np.int64] = np.zeros(is_malignant.size, dtype=np.int64)
    for kind in (True, False):
        members = random.permutation(np.flatnonzero(is_malignant == kind))
        folds[members] = np.arange(members.size) % NUM_FOLDS
    return (folds[images.groups] == number for number in range(NUM_FOLDS))


def _measure(
    images: Images, points: Sequence[OperatingPoint], bands: Triage, after: CrossFitted, sampling: Sampling
) -> dict[str, Any]:
    labels, groups = images.labels, images.groups
    measured = calibration.measure(
        labels,
        {"before": images.risk, "after": after.risk},
        groups,
        resamples=sampling.resamples,
        seed=sampling.seed,
    )
    return {
        # An update keeps the order of the risks.
        "roc_auc": delong.roc_auc(labels, images.risk, groups).to_json(),
        "calibration": {
            name: {metric: value for metric, value in found.items() if metric != "reliability"}
            for name, found in measured.items()
        },
        "operating_points": [
            {"name": point.name, "threshold_before": point.threshold}
            | _compare(labels, images.risk >= point.threshold, decided, groups)
            for point, decided in zip(points, after.decided, strict=True)
        ],
        "triage": {
            "before": triage.measure(bands, labels, images.risk, groups),
            "after": triage.count_bands(after.low, after.high, labels, groups),
        },
        "updates_of_folds": dict(Counter(after.updates)),
    }


def _compare(labels: Bools, before: Bools, after: Bools, groups: Groups) -> dict[str, Any]:
    """Sensitivity and specificity of two decisions, and the differences, after less before."""
    result: dict[str, Any] = {"before": {}, "after": {}, "difference": {}}
    for name, kind, right_before, right_after in (
        ("sensitivity", labels, before, after),
        ("specificity", ~labels, ~before, ~after),
    ):
        result["before"][name] = proportion(right_before[kind], groups[kind]).to_json()
        result["after"][name] = proportion(right_after[kind], groups[kind]).to_json()
        difference = right_share_difference(right_after[kind], right_before[kind], groups[kind])
        result["difference"][name] = difference.estimate.to_json()
    return result

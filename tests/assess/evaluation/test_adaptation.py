from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from nevus.assess.evaluation import adaptation
from nevus.assess.evaluation.adaptation_size import images_needed
from nevus.assess.sections import thresholds, triage
from nevus.assess.sections.metric import Sampling
from nevus.assess.statistics import updating
from nevus.core.errors import DataError
from nevus.core.risk_update import RiskUpdate

SAMPLING = Sampling(100, 0)
RIGHT, TOO_EXTREME = RiskUpdate(), RiskUpdate(-2.0, 0.5)


def draw(
    num_images: int = 600, line: RiskUpdate = TOO_EXTREME, seed: int = 0, images_of_group: int = 2
) -> adaptation.Images:
    """Images of a place where the log-odds are right after `line`."""
    random = np.random.default_rng(seed)
    log_odds = random.normal(0.0, 2.5, num_images)
    labels = random.random(num_images) < expit(line.of_log_odds(log_odds))
    return adaptation.Images(labels, expit(log_odds), log_odds, np.arange(num_images) // images_of_group)


POINTS = [thresholds.choose(rule, *draw(400, RIGHT, 1)[:2], np.arange(400)) for rule in ("youden", "sensitivity-95")]
BANDS = triage.fit(*draw(400, RIGHT, 1)[:2])


def test_an_update_corrects_the_risks_and_thresholds_keep_their_targets() -> None:
    found = adaptation.adapt(draw(2000), POINTS, BANDS, sampling=SAMPLING, fingerprint="of the images")
    assert found.chosen.name == updating.LINE
    before, after = (found.metrics["calibration"][name] for name in ("before", "after"))
    assert before["intercept"]["high"] < -1
    assert abs(after["intercept"]["value"]) < 0.1
    assert after["slope"]["value"] == pytest.approx(1.0, abs=0.1)
    assert after["brier"]["value"] < before["brier"]["value"]
    target = found.metrics["operating_points"][1]
    assert target["before"]["sensitivity"]["high"] < 0.95
    assert target["after"]["sensitivity"]["value"] == pytest.approx(0.95, abs=0.02)
    gain = target["after"]["specificity"]["value"] - target["before"]["specificity"]["value"]
    assert target["difference"]["specificity"]["value"] == pytest.approx(gain)
    assert [point.name for point in found.operating_points] == ["youden", "sensitivity-95"]
    assert {(p.fitted_on, p.fitted_fingerprint) for p in found.operating_points} == {("adaptation", "of the images")}
    assert found.assumed_prevalence == pytest.approx(draw(2000).labels.mean(), abs=0.01)
    assert sum(found.metrics["updates_of_folds"].values()) == adaptation.NUM_FOLDS


def test_right_risks_stay_and_thresholds_are_chosen_again() -> None:
    images = draw(1000, RiskUpdate(), images_of_group=1)
    found = adaptation.adapt(images, POINTS, BANDS, sampling=SAMPLING)
    assert (found.chosen.name, found.chosen.update) == (updating.NONE, RiskUpdate())
    expected = thresholds.choose("youden", images.labels, RiskUpdate().of_risk(images.log_odds), images.groups)
    assert found.operating_points[0].threshold == expected.threshold


def test_folds_keep_groups_whole_and_hold_each_image_once() -> None:
    images = draw()
    folds = list(adaptation.folds_of(images, seed=3))
    assert (np.sum(folds, axis=0) == 1).all()
    for fold in folds:
        assert not set(images.groups[fold]) & set(images.groups[~fold])
        assert images.labels[fold].any()


def test_what_becomes_of_an_image_does_not_depend_on_its_own_label() -> None:
    images, rules = draw(), ["youden", "sensitivity-95"]
    before = adaptation.cross_fit(images, rules, with_slope=True, seed=0)
    held_out = next(adaptation.folds_of(images, seed=0))
    # Two images of one group change places, so that the folds stay the same.
    of_group = np.flatnonzero(images.labels[::2] != images.labels[1::2])
    place = next(2 * group for group in of_group if held_out[2 * group])
    labels = images.labels.copy()
    labels[[place, place + 1]] = labels[[place + 1, place]]
    after = adaptation.cross_fit(images._replace(labels=labels), rules, with_slope=True, seed=0)
    np.testing.assert_array_equal(before.risk[held_out], after.risk[held_out])
    np.testing.assert_array_equal(before.decided[:, held_out], after.decided[:, held_out])
    assert (before.risk[~held_out] != after.risk[~held_out]).all()


def test_a_few_images_are_refused_with_the_number_that_it_takes() -> None:
    images = draw(10, RIGHT, images_of_group=1, seed=1)
    needed = images_needed(images.labels, images.log_odds, images.groups)
    assert needed.for_intercept > 40
    with pytest.raises(DataError, match="too few to adapt a model") as refused:
        adaptation.adapt(images, POINTS, BANDS, sampling=SAMPLING)
    assert needed.words(needed.for_intercept) in str(refused.value)


@pytest.mark.parametrize("kind", [True, False])
def test_images_of_one_kind_are_refused(kind: bool) -> None:
    images = draw()
    with pytest.raises(DataError, match=f"No image is {'benign' if kind else 'malignant'}"):
        adaptation.adapt(images.where(images.labels == kind), POINTS, BANDS, sampling=SAMPLING)


def test_images_of_one_lesion_count_once() -> None:
    few = draw(60, images_of_group=1)
    many = adaptation.Images(*(np.repeat(array, 20) for array in few))
    with pytest.raises(DataError, match="of 9 and 51 lesions or patients, are too few"):
        adaptation.adapt(many, POINTS, BANDS, sampling=SAMPLING)


def test_more_images_are_needed_for_a_slope_of_risks_that_hardly_differ() -> None:
    images = draw(400, RiskUpdate(), images_of_group=1)
    narrow = images._replace(log_odds=images.log_odds / 5)
    needed = [images_needed(one.labels, one.log_odds, one.groups) for one in (images, narrow)]
    assert needed[0].for_intercept == needed[1].for_intercept
    assert needed[0].for_slope < needed[1].for_slope
    assert needed[0].precise > needed[0].for_slope
    found = adaptation.adapt(narrow._replace(risk=expit(narrow.log_odds)), POINTS, BANDS, sampling=SAMPLING)
    assert found.chosen.name in (updating.NONE, updating.INTERCEPT)
    assert any("too few for a slope" in note for note in found.notes)


def test_separated_images_get_no_slope() -> None:
    log_odds = np.linspace(-3.0, 3.0, 200)
    images = adaptation.Images(log_odds > 1.0, expit(log_odds), log_odds, np.arange(200))
    found = adaptation.adapt(images, POINTS, BANDS, sampling=SAMPLING)
    assert found.chosen.name == updating.INTERCEPT
    assert found.notes[0].startswith("a threshold tells all malignant images from all benign ones")


def test_a_single_image_that_keeps_the_kinds_from_being_separated_may_be_left_out() -> None:
    log_odds = np.concatenate([np.full(150, -16.0), np.full(150, 16.0), [3.0, -3.0]])
    labels = log_odds > 5.0
    labels[-1] = True
    images = adaptation.Images(labels, expit(log_odds), log_odds, np.arange(302))
    found = adaptation.adapt(images, POINTS, BANDS, sampling=SAMPLING)
    assert [test.update for test in found.chosen.tests] == [updating.LINE]
    assert sum(found.metrics["updates_of_folds"].values()) == adaptation.NUM_FOLDS
    assert found.metrics["calibration"]["after"]["brier"]["value"] < 0.1


def test_risks_that_do_not_rise_with_malignancy_are_refused() -> None:
    images = draw()
    with pytest.raises(DataError, match="does not rise with malignancy"):
        adaptation.adapt(images._replace(labels=~images.labels), POINTS, BANDS, sampling=SAMPLING)


def test_a_rule_that_is_not_known_is_named() -> None:
    from dataclasses import replace

    with pytest.raises(DataError, match="operating point 'of-tomorrow'"):
        adaptation.adapt(draw(), [replace(POINTS[0], name="of-tomorrow")], BANDS, sampling=SAMPLING)

"""Conformal sets: the finite-sample quantile by hand, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from nevus.assess.sections import conformal
from nevus.core.labels import Classes
from nevus.core.predictions import Predictions


def measured(predictions, least):
    return conformal.measure(conformal.sets_of(predictions, 1.0, least), predictions)


def make_predictions(labels, logits):
    names = [str(index) for index in range(len(labels))]
    class_names = tuple("abcdefg"[: logits.shape[1]])
    classes = Classes(names=class_names, malignant=class_names[1:])
    return Predictions(classes, names, names, names, np.asarray(labels, dtype=np.int64), logits)


def with_own_probability(labels, own):
    """Two classes; each image has the probability `own` for its true class."""
    logits = np.zeros((len(labels), 2))
    logits[np.arange(len(labels)), labels] = np.log(own) - np.log1p(-np.asarray(own))
    return make_predictions(labels, logits)


def simulated(random, size, num_classes=3):
    labels = random.integers(num_classes, size=size)
    logits = random.normal(size=(size, num_classes))
    # A network that is too sure, and not of all classes alike.
    logits[np.arange(size), labels] += np.array([2.0, 1.0, 0.2])[labels]
    return make_predictions(labels, 3.0 * logits)


def test_quantile_worked_by_hand():
    # Of 19 images the rank for .1 is floor(.1 * 20) = 2, for .05 it is 1; of 18 it is 1 and none.
    own = np.arange(1, 20) / 20
    predictions = with_own_probability([0] * 19 + [1] * 18, np.concatenate([own, own[:18]]))
    assert conformal.fit(predictions, 1.0, 0.1) == pytest.approx([0.10, 0.05])
    assert conformal.fit(predictions, 1.0, 0.05) == pytest.approx([0.05, 0.0])


@pytest.mark.parametrize(("alpha", "size"), [(0.05, 19), (0.1, 29), (0.1, 69), (0.05, 59)])
def test_rank_does_not_hang_on_rounding(alpha, size):
    own = (1 + np.arange(size)) / (size + 1)
    rank = round(alpha * (size + 1))
    found = conformal.fit(with_own_probability([0] * size + [1], [*own, 0.5]), 1.0, alpha)
    assert found[0] == pytest.approx(own[rank - 1])


@pytest.mark.parametrize("alpha", conformal.ALPHAS)
def test_every_class_is_covered_as_promised(alpha):
    random = np.random.default_rng(0)
    covered = np.zeros((200, 3))
    for row in covered:
        least = conformal.fit(simulated(random, 150), 1.0, alpha)
        found = measured(simulated(random, 1000), least)
        row[:] = [share["value"] for share in found["coverage"].values()]
    # The expected coverage lies between 1 - alpha and 1 - alpha + 1 / (n + 1), n about 50 images a class.
    error = covered.std(axis=0) / np.sqrt(200)
    assert (covered.mean(axis=0) > 1 - alpha - 3 * error).all()
    assert (covered.mean(axis=0) < 1 - alpha + 1 / 40 + 3 * error).all()


def test_sets_are_counted_by_size():
    # Probabilities of a: .95, .60, .45, .55 and .70; a enters from .5 on, b from .42 on.
    predictions = with_own_probability([0, 0, 1, 1, 1], [0.95, 0.6, 0.55, 0.45, 0.3])
    found = measured(predictions, np.array([0.5, 0.42]))
    assert [row["num_images"] for row in found["set_sizes"]] == [0, 4, 1]
    assert found["mean_set_size"] == pytest.approx(6 / 5)
    assert found["coverage"]["a"]["value"] == 1.0
    assert found["coverage"]["b"]["value"] == pytest.approx(2 / 3)
    assert found["coverage_all"]["value"] == pytest.approx(4 / 5)
    empty = measured(predictions, np.array([0.99, 0.99]))
    assert [row["num_images"] for row in empty["set_sizes"]] == [5, 0, 0]


def test_groups_lower_the_coverage_and_make_it_vary_more():
    """Of one class with 200 images: of 200 lesions, or of 20 lesions with ten images that resemble one another."""
    random = np.random.default_rng(4)
    reached = {}
    for num_groups, correlation in ((200, 0.0), (20, 0.8)):
        coverages = []
        for _ in range(300):
            shared = random.normal(size=(num_groups, 1))
            own = random.normal(size=(num_groups, 200 // num_groups))
            scores = np.sqrt(correlation) * shared + np.sqrt(1.0 - correlation) * own
            # The probability of the true class is uniform, so the coverage is what lies over the quantile.
            least = conformal.fit(with_own_probability([1] * 200, norm.cdf(scores).ravel()), 1.0, 0.1)[1]
            coverages.append(1.0 - least)
        reached[num_groups] = np.mean(coverages), np.quantile(coverages, 0.05)
    assert reached[200] == pytest.approx((0.900, 0.863), abs=0.012)
    assert reached[20] == pytest.approx((0.889, 0.790), abs=0.03)
    assert reached[20][1] < reached[200][1] - 0.03

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nevus.core.labels import Classes
from nevus.learn.networks.architectures import class_logits
from nevus.learn.training.optimization import MalignantAUC, OneCycleSchedule, _loss, patience
from nevus.learn.training.recipe import Plateau

BINARY = Classes(("benign", "malignant"), ("malignant",))
SEVERAL = Classes(("mel", "nv", "bcc"), ("mel", "bcc"))


def test_patience_lasts_until_batch_normalisation_has_settled_on_a_small_dataset() -> None:
    schedule = Plateau(stop_patience=6, reduce_patience=3, reduce_factor=0.5, least_learning_rate=1e-6)
    assert patience(schedule, steps_in_epoch=215) == (6, 3)
    assert patience(schedule, steps_in_epoch=10) == (46, 46)


def test_one_cycle_rises_to_its_highest_rate_and_falls_to_almost_nothing() -> None:
    rates = [float(OneCycleSchedule(0.5, 100, 0.2)(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.5 / 25)
    assert max(rates) == rates[20] == pytest.approx(0.5)
    assert sorted(rates[:21]) == rates[:21]
    assert sorted(rates[20:], reverse=True) == rates[20:]
    assert rates[100] == pytest.approx(0.5 / 1000)
    # Past its end, as a training that is resumed too late would be, it stays where it is.
    assert float(OneCycleSchedule(0.5, 100, 0.2)(150)) == rates[100]


def test_auc_of_two_classes_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 500)
    logits = generator.normal(labels, 1.0)[:, None].astype(np.float32)
    metric = MalignantAUC(BINARY, curve="ROC")
    metric.update_state(labels, logits)
    assert float(metric.result()) == pytest.approx(roc_auc_score(labels, logits[:, 0]), abs=2e-3)


def test_auc_of_several_classes_is_of_the_malignant_ones_together() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 500)
    logits = (generator.normal(0, 1, (500, 3)) + np.eye(3)[labels]).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    metric = MalignantAUC(SEVERAL, curve="ROC")
    metric.update_state(labels, logits)
    expected = roc_auc_score(labels != 1, probabilities[:, 0] + probabilities[:, 2])
    assert float(metric.result()) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("curve", ["ROC", "PR"])
def test_auc_of_an_absent_class_is_nan(label: int, curve: str) -> None:
    metric = MalignantAUC(BINARY, curve=curve)
    metric.update_state(np.full(4, label), np.zeros((4, 1), dtype=np.float32))
    assert math.isnan(float(metric.result()))


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize(("name", "gamma"), [("cross-entropy", 0.0), ("focal", 2.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_are_those_of_the_papers(num_classes: int, name: str, gamma: float, smoothing: float) -> None:
    generator = np.random.default_rng(2)
    labels = generator.integers(0, num_classes, 6)
    logits = generator.normal(0, 2, (6, 1 if num_classes == 2 else num_classes)).astype(np.float32)
    every = class_logits(logits)
    probabilities = np.exp(every) / np.exp(every).sum(axis=1, keepdims=True)
    targets = np.eye(num_classes)[labels] * (1 - smoothing) + smoothing / num_classes
    # Keras's binary focal loss weighs by the probability of the smoothed label.
    right = (targets * probabilities).sum(axis=1, keepdims=True) if num_classes == 2 else probabilities
    expected = -(targets * (1 - right) ** gamma * np.log(probabilities)).sum(axis=1)
    targets_given = labels[:, None].astype(np.float32) if num_classes == 2 else labels
    loss = keras.ops.convert_to_numpy(_loss(num_classes, name, smoothing)(targets_given, logits))
    assert float(loss.mean()) == pytest.approx(expected.mean(), rel=1e-4)

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nevus.core.config import Config, options
from nevus.core.labels import Classes
from nevus.learn.networks import NETWORKS
from nevus.learn.recipe import RECIPES, MalignantAUC, recipe_of

BINARY = Classes(("benign", "malignant"), ("malignant",))
SEVERAL = Classes(("mel", "nv", "bcc"), ("mel", "bcc"))


def test_options_offer_what_there_is() -> None:
    assert options()["recipe"].choices == tuple(RECIPES)
    assert options()["model"].choices == tuple(NETWORKS)


def test_classic_recipe_is_as_published() -> None:
    recipe = recipe_of(Config())
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (1e-4, 32, 30)


def test_config_replaces_what_it_gives_and_nothing_else() -> None:
    recipe = recipe_of(Config(epochs=3, learning_rate=0.01))
    assert (recipe.epochs, recipe.learning_rate, recipe.batch_size) == (3, 0.01, RECIPES["classic"].batch_size)


def test_patience_lasts_until_batch_normalisation_has_settled_on_a_small_dataset() -> None:
    recipe = RECIPES["classic"]
    assert (recipe.stop_epochs(215), recipe.reduce_epochs(215)) == (recipe.stop_patience, recipe.reduce_patience)
    assert recipe.stop_epochs(10) == recipe.reduce_epochs(10) == 46


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

from __future__ import annotations

from nevus.core.config import Config
from nevus.learn.training.recipe import RECIPES, recipe_of


def test_classic_recipe_is_as_published() -> None:
    recipe = recipe_of(Config(model="classic"))
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (1e-4, 32, 30)


def test_config_replaces_what_it_gives_and_nothing_else() -> None:
    recipe = recipe_of(Config(epochs=3, learning_rate=0.01))
    assert (recipe.epochs, recipe.learning_rate, recipe.batch_size) == (3, 0.01, RECIPES["fast"].batch_size)


def test_a_network_is_trained_by_its_own_recipe_unless_another_is_named() -> None:
    assert recipe_of(Config(model="compact")) == RECIPES["fast"]
    assert recipe_of(Config(model="compact", recipe="classic")) == RECIPES["classic"]

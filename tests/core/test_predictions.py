from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nevus.core.errors import RunError
from nevus.core.labels import Classes
from nevus.core.predictions import Predictions, read_predictions, write_predictions

BINARY = Classes(("benign", "malignant"), ("malignant",))
THREE = Classes(("nv", "mel", "bcc"), ("mel", "bcc"))


def make(classes: Classes, logits: list[list[float]]) -> Predictions:
    names = [f"i{index}" for index in range(len(logits))]
    return Predictions(
        classes=classes,
        image_ids=names,
        paths=[f"a, {name}\n.jpg" for name in names],
        groups=names,
        labels=np.arange(len(logits)) % len(classes.names),
        logits=np.array(logits, dtype=np.float64),
        columns={"sex": ["f"] * len(logits), "note": ["left\rarm"] * len(logits)},
    )


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=5))
def test_predictions_survive_the_file_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, zs: list[float]
) -> None:
    path = tmp_path_factory.mktemp("predictions") / "val.csv"
    predictions = make(BINARY, [[0.0, z] for z in zs])
    write_predictions(path, predictions)
    back = read_predictions(path, BINARY)
    np.testing.assert_array_equal(back.logits, predictions.logits)
    np.testing.assert_array_equal(back.labels, predictions.labels)
    assert (back.image_ids, back.paths, back.groups, back.columns) == (
        predictions.image_ids,
        predictions.paths,
        predictions.groups,
        predictions.columns,
    )


def test_binary_risk_is_the_sigmoid_of_the_one_logit() -> None:
    z = np.array([-1000.0, -2.0, 0.0, 3.0, 1000.0])
    risk = make(BINARY, [[0.0, value] for value in z]).risk()
    np.testing.assert_allclose(risk, [0.0, 1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-3)), 1.0], atol=1e-15)


def test_risk_sums_the_malignant_classes_and_temperature_softens() -> None:
    predictions = make(THREE, [[2.0, 1.0, 0.5]])
    np.testing.assert_allclose(predictions.risk(), predictions.probabilities()[:, 1:].sum(axis=1))
    np.testing.assert_allclose(predictions.probabilities(1e9), 1 / 3, atol=1e-8)
    np.testing.assert_array_equal(predictions.is_malignant, [False])


def test_leaks_survive_the_file_and_choosing_keeps_what_belongs_together(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    predictions = replace(make(BINARY, [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]), also_in=["train val", "", "val"])
    write_predictions(path, predictions)
    back = read_predictions(path, BINARY)
    np.testing.assert_array_equal(back.leaks_into("train"), [True, False, False])
    np.testing.assert_array_equal(back.leaks_into("val"), [True, False, True])
    last = back.where(~back.leaks_into("train"))
    assert (last.image_ids, last.also_in, last.columns["sex"]) == (["i1", "i2"], ["", "val"], ["f", "f"])
    np.testing.assert_array_equal(last.logits[:, 1], [2.0, 3.0])
    assert not make(BINARY, [[0.0, 1.0]]).leaks_into("train").any()


def test_missing_file_column_and_wrong_cells_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "val.csv"
    with pytest.raises(RunError, match="does not exist"):
        read_predictions(path, BINARY)
    write_predictions(path, make(BINARY, [[0.0, 1.0]]))
    text = path.read_text()
    with pytest.raises(RunError, match="logit_nv"):
        read_predictions(path, THREE)
    path.write_text(text.replace("1.0", "one"))
    with pytest.raises(RunError, match="row 2: expected a label"):
        read_predictions(path, BINARY)


@pytest.mark.parametrize("name", ["logit_malignant", "logit_other", "also_in", "label"])
def test_columns_never_pass_for_what_the_model_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / "test.csv"
    predictions = replace(make(BINARY, [[0.0, 1.0], [0.0, 2.0]]), also_in=["train", ""])
    write_predictions(path, replace(predictions, columns={**predictions.columns, name: ["99", "99"]}))
    back = read_predictions(path, BINARY)
    np.testing.assert_array_equal(back.logits, predictions.logits)
    np.testing.assert_array_equal(back.labels, predictions.labels)
    assert (back.also_in, back.columns) == (predictions.also_in, predictions.columns)


def test_class_weights_are_undone_in_probabilities_and_stay_in_the_logits(tmp_path: Path) -> None:
    predictions = make(THREE, [[2.0, 1.0, 0.5], [0.0, 3.0, 1.0]])
    write_predictions(tmp_path / "val.csv", predictions)
    weights = {"bcc": 5.0, "nv": 0.4, "mel": 2.0}
    weighed = read_predictions(tmp_path / "val.csv", THREE, weights)
    np.testing.assert_array_equal(weighed.logits, predictions.logits)
    np.testing.assert_allclose(weighed.weighted_probabilities(1.7), predictions.probabilities(1.7))
    share = predictions.probabilities(1.7) / np.array([0.4, 2.0, 5.0])
    np.testing.assert_allclose(weighed.probabilities(1.7), share / share.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(weighed.undone().probabilities(), weighed.probabilities())
    np.testing.assert_allclose(weighed.weighted_risk(), predictions.risk())
    # Images of different models, each with weights of its own.
    mixed = replace(predictions, log_weights=np.stack([np.zeros(3), np.log([0.4, 2.0, 5.0])]))
    np.testing.assert_allclose(mixed.take(np.array([1])).probabilities(), weighed.probabilities()[1:])


@pytest.mark.parametrize("weights", [{"nv": 1.0}, {"nv": 1.0, "mel": 0.0, "bcc": 2.0}, {"a": 1, "b": 1, "c": 1}])
def test_wrong_class_weights_are_an_error(tmp_path: Path, weights: dict[str, float]) -> None:
    write_predictions(tmp_path / "val.csv", make(THREE, [[2.0, 1.0, 0.5]]))
    with pytest.raises(RunError, match="class_weights: expected"):
        read_predictions(tmp_path / "val.csv", THREE, weights)

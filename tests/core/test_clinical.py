"""What is known besides the picture: from texts to values, and from values to what a model sees."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nevus.core.clinical import (
    FURTHEST,
    ClinicalHead,
    Variable,
    encode,
    from_json,
    learn_variables,
    parse_pairs,
    to_json,
    value_of,
    values_of,
    values_of_cells,
)
from nevus.core.errors import ConfigError, DataError

COLUMNS = {
    "age": ["40", "60", "", "unknown", "80.0", "60"],
    "sex": ["male", "Female ", "", "female", "unknown", "male"],
    "site": ["Upper back", "upper_back", "face", "", "face", "face"],
    "person": [f"person {index}" for index in range(6)],
}


@pytest.fixture
def variables() -> tuple[Variable, ...]:
    return learn_variables(("age", "sex", "site"), COLUMNS)


def test_the_training_images_decide_the_encoding(variables: tuple[Variable, ...]) -> None:
    age, sex, site = variables
    assert age.is_number
    assert (age.centre, age.scale) == (60.0, pytest.approx(math.sqrt(200)))
    assert sex.categories == ("female", "male")
    assert site.categories == ("face", "upper_back")
    assert [variable.size for variable in variables] == [2, 3, 3]


def test_worked_by_hand(variables: tuple[Variable, ...]) -> None:
    values = np.stack([values_of(variables, one) for one in ({"age": 74.1421356, "sex": "MALE"}, {"site": "face"}, {})])
    assert values[0, :2].tolist() == [pytest.approx(74.1421356), 1.0]
    assert encode(variables, values) == pytest.approx(
        np.array(
            [
                # age missing, scaled; sex missing, female, male; site missing, face, upper_back
                [0, 1, 0, 0, 1, 1, 0, 0],
                [1, 0, 1, 0, 0, 0, 1, 0],
                [1, 0, 1, 0, 0, 1, 0, 0],
            ]
        ),
        abs=1e-6,
    )


@given(st.lists(st.floats(width=32) | st.just(math.nan), min_size=1, max_size=5))
def test_any_value_is_encoded_to_finite_numbers(ages: list[float]) -> None:
    variables = (Variable("age", centre=50.0, scale=10.0), Variable("sex", ("female", "male")))
    values = np.array([[age, age] for age in ages], dtype=np.float32)
    encoded = encode(variables, values)
    assert np.isfinite(encoded).all()
    assert np.abs(encoded).max() <= FURTHEST
    assert encoded.shape == (len(ages), 5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"age": "old"}, "age: expected a number.*Received: 'old'"),
        ({"age": "inf"}, "age: expected a number"),
        ({"sex": "masculine"}, "sex: expected one of female, male, or nothing.*Received: 'masculine'"),
        ({"skin": "II"}, "metadata 'skin': the model takes age, sex, site"),
    ],
)
def test_what_no_model_takes_is_named(variables: tuple[Variable, ...], given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        values_of(variables, given)


def test_a_model_of_pixels_alone_says_so() -> None:
    assert values_of((), None).shape == (0,)
    assert encode((), values_of_cells((), {}, 3)).shape == (3, 0)
    with pytest.raises(ConfigError, match="the model takes pixels alone"):
        values_of((), {"age": 3})


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        (("skin",), COLUMNS, "no column 'skin'. It has: age, sex, site, person"),
        (("skin",), {}, "It has none"),
        (("age",), {"age": ["", "unknown"]}, "'age' is empty for all training images"),
        (
            ("person",),
            {"person": [f"p{index}" for index in range(100)]},
            "has 100 different texts. Expected at most 64",
        ),
    ],
)
def test_columns_that_cannot_be_used_are_named(
    names: tuple[str, ...], columns: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        learn_variables(names, columns)


def test_a_number_that_never_changes_has_a_scale() -> None:
    (age,) = learn_variables(("age",), {"age": ["50", "50"]})
    assert (age.centre, age.scale) == (50.0, 1.0)
    assert encode((age,), np.array([[50.0]], dtype=np.float32)).tolist() == [[0.0, 0.0]]


def test_cells_that_training_did_not_have_are_missing(variables: tuple[Variable, ...]) -> None:
    cells = {"age": ["30", ""], "sex": ["other", "male"], "site": ["knee", "Face"]}
    values = values_of_cells(variables, cells, 2)
    assert np.isnan(values).tolist() == [[False, True, True], [True, False, False]]
    assert value_of(variables[2], "Face") == values[1, 2]


def test_variables_and_weights_come_back_from_json(variables: tuple[Variable, ...]) -> None:
    assert from_json(json.loads(json.dumps(to_json(variables)))) == variables
    head = ClinicalHead(variables, np.arange(16, dtype=np.float32).reshape(8, 2))
    data = json.loads(json.dumps(head.to_json()))
    assert data[1]["weights"][" missing"] == [4.0, 5.0]
    assert data[1]["weights"]["male"] == [8.0, 9.0]
    read = ClinicalHead.from_json(data)
    assert read.variables == variables
    assert read.weights.tolist() == head.weights.tolist()
    values = values_of(variables, {"sex": "male"})[np.newaxis]
    # Age is missing (row 0), sex is male (row 4), site is missing (row 5).
    assert read.logits(values).tolist() == [[0.0 + 8.0 + 10.0, 1.0 + 9.0 + 11.0]]


@pytest.mark.parametrize(
    "wrong",
    [
        [{"name": "age", "kind": "number", "centre": 1.0, "scale": 0.0}],
        [{"name": "age", "kind": "number", "centre": float("nan"), "scale": 1.0}],
        [{"name": "sex", "kind": "category", "categories": []}],
        [{"name": "sex", "kind": "colour"}],
        [{"name": "age", "kind": "number", "centre": 1.0, "scale": 1.0}] * 2,
    ],
)
def test_hostile_descriptions_are_refused(wrong: list[dict[str, object]]) -> None:
    with pytest.raises(ValueError, match="variable"):
        from_json(wrong)


def test_pairs() -> None:
    assert parse_pairs(" age=55, sex = female,") == {"age": "55", "sex": "female"}
    assert parse_pairs("") == {}
    for wrong in ("age", "age=1,age=2"):
        with pytest.raises(ConfigError, match="as in age=55,sex=female"):
            parse_pairs(wrong)

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nevus.core.clinical import Variable
from nevus.core.errors import ModelFileError
from nevus.core.estimate import Estimate
from nevus.core.familiarity import FamiliarityLimit
from nevus.core.labels import Classes
from nevus.core.modelfile import DISCLAIMER, MAX_DEPTH, GoldenCase, ModelSpec, golden_pixels, parse_spec
from nevus.core.operating_point import OperatingPoint
from nevus.core.triage import Triage

ESTIMATE = Estimate(0.9, 0.8, 0.95)
LIMIT = FamiliarityLimit(0.02, "val", 960, 950)
SPEC = ModelSpec(
    network="classic",
    num_parameters=94_273,
    image_size=128,
    classes=Classes(("benign", "malignant"), ("malignant",)),
    temperature=1.25,
    operating_points=(
        OperatingPoint("youden", "highest Youden index", 0.5, "val", "f" * 64, ESTIMATE, ESTIMATE),
        OperatingPoint("sensitivity-95", "sensitivity of .95", 0.25, "val", "f" * 64, ESTIMATE, ESTIMATE),
    ),
    default_operating_point="sensitivity-95",
    triage=Triage(0.1, 0.8),
    assumed_prevalence=0.4,
    test_metrics={"roc_auc": [0.9, 0.8, None]},
    trained_on="noise",
    generated=True,
    provenance={"seed": 0},
    licence="not stated",
    golden=(GoldenCase(128, 128, (0.25, 0.75), 0.75),),
)


def _changed(**changes: Any) -> str:
    return json.dumps({**json.loads(SPEC.to_json()), **changes})


def test_what_is_written_reads_back() -> None:
    assert parse_spec(SPEC.to_json()) == SPEC
    telling = replace(SPEC, familiarity=LIMIT, golden=(GoldenCase(128, 128, (0.25, 0.75), 0.75, 0.5),))
    assert parse_spec(telling.to_json()) == telling
    assert json.loads(SPEC.to_json())["disclaimer"] == DISCLAIMER


def test_an_estimate_that_is_not_defined_becomes_null_and_reads_back() -> None:
    nothing = Estimate(math.nan, math.nan, math.nan)
    point = OperatingPoint("youden", "", 0.5, "val", "", nothing, nothing)
    values = {name: getattr(SPEC, name) for name in SPEC.__dataclass_fields__}
    text = ModelSpec(**{**values, "operating_points": (point,), "default_operating_point": "youden"}).to_json()
    assert "NaN" not in text
    assert math.isnan(parse_spec(text).operating_point().sensitivity.value)


def test_operating_point_by_name() -> None:
    assert SPEC.operating_point().name == "sensitivity-95"
    assert SPEC.operating_point("youden").threshold == 0.5
    with pytest.raises(ModelFileError, match="Expected one of: youden, sensitivity-95"):
        SPEC.operating_point("f1")


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", "{", "[" * 100_000, '"text"',
        _changed(schema_version=0), _changed(schema_version=True), _changed(schema_version=None),
        _changed(image_size=0), _changed(image_size=10**9), _changed(image_size="x"), _changed(image_size=None),
        _changed(image_size=math.inf), _changed(image_size=math.nan),
        _changed(temperature=0), _changed(temperature=-1), _changed(temperature=math.inf),
        _changed(temperature=math.nan),
        _changed(classes={"names": ["a"], "malignant": ["a"]}), _changed(classes=[]), _changed(classes=None),
        _changed(classes={"names": ["a", "b"], "malignant": []}),
        _changed(operating_points=[]), _changed(operating_points={}), _changed(operating_points=[{}]),
        _changed(default_operating_point="none"),
        _changed(operating_points=[{**SPEC.operating_points[1].to_json(), "threshold": 1.5}]),
        _changed(operating_points=[{**SPEC.operating_points[1].to_json(), "threshold": math.nan}]),
        _changed(test_metrics=[1]), _changed(test_metrics={"roc_auc": 0.9}), _changed(test_metrics={"roc_auc": [1, 2]}),
        _changed(test_metrics={"roc_auc": ["a", "b", "c"]}), _changed(provenance=3), _changed(golden=[{}]),
        _changed(num_parameters="many"), _changed(familiarity=3), _changed(familiarity={"limit": 0.02}),
        _changed(familiarity={**LIMIT.to_json(), "limit": 0}), _changed(familiarity={**LIMIT.to_json(), "limit": None}),
        _changed(triage={"rule_out": 0.8, "rule_in": 0.1}), _changed(triage={"rule_out": -1, "rule_in": None}),
        _changed(triage={"rule_out": None, "rule_in": 0.5}), _changed(triage=[0.1, 0.8]), _changed(triage={}),
        _changed(metadata=3), _changed(metadata=[{"name": "sex", "kind": "colour"}]), _changed(metadata=[{}]),
        _changed(assumed_prevalence=0), _changed(assumed_prevalence=1), _changed(assumed_prevalence=math.nan),
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_a_wrong_description_is_one_clear_error(text: str) -> None:
    with pytest.raises(ModelFileError):
        parse_spec(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": {"names": ["benign\ud800", "malignant"], "malignant": ["malignant"]}}, r"classes .* U\+D800"),
        ({"classes": {"names": ["be\nnign", "malignant"], "malignant": ["malignant"]}}, r"classes .* U\+000A"),
        ({"licence": "\udfff"}, r"licence .* U\+DFFF"),
        ({"licence": "\x1b[31mred"}, r"licence .* U\+001B"),
        ({"trained_on": "\x9b2J"}, r"trained_on .* U\+009B"),
        ({"provenance": {"a": [{"\x07": 1}]}}, r"provenance .* U\+0007"),
        ({"unknown\x00": 1}, r"name of a field .* U\+0000"),
        ({"assumed_prevalence": 1e-310}, "1e-310. Expected a share from"),
        ({"assumed_prevalence": 1 - 1e-9}, "Expected a share from"),
        ({"provenance": {"temperatures": ["hot"]}}, "hot"),
        ({"provenance": {"temperatures": 3}}, "damaged"),
    ],
    ids=str,
)
def test_a_hostile_description_is_refused_at_opening(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        parse_spec(_changed(**changes))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("depth", [MAX_DEPTH, 600])
def test_nesting_is_bounded(depth: int) -> None:
    def nested(levels: int) -> str:
        return _changed(provenance="here").replace('"here"', '{"a":' * levels + "1" + "}" * levels)

    assert parse_spec(nested(MAX_DEPTH - 1)).provenance
    with pytest.raises(ModelFileError, match="provenance is nested deeper than 16"):
        parse_spec(nested(depth))


def test_a_licence_may_have_several_lines() -> None:
    spec = replace(SPEC, licence="CC BY 4.0,\r\n\tas its makers say:\nJosé, 中")
    assert parse_spec(spec.to_json()) == spec


def test_a_file_without_variables_takes_pixels_alone() -> None:
    assert "metadata" not in json.loads(SPEC.to_json())
    assert parse_spec(SPEC.to_json()).clinical == ()
    variables = (Variable("age", centre=50.0, scale=10.0), Variable("sex", ("female", "male")))
    assert parse_spec(replace(SPEC, clinical=variables).to_json()).clinical == variables


@pytest.mark.parametrize(
    "field", [name for name in SPEC.__dataclass_fields__ if name not in ("clinical", "class_weights")]
)
def test_a_missing_field_is_an_error(field: str) -> None:
    data = json.loads(SPEC.to_json())
    del data[field]
    with pytest.raises(ModelFileError, match=field):
        parse_spec(json.dumps(data))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_any_value_in_any_field_gives_a_spec_or_an_error(value: Any) -> None:
    for field in (*SPEC.__dataclass_fields__, "metadata"):
        try:
            parse_spec(_changed(**{field: value}))
        except ModelFileError:
            continue


@given(st.integers(1, 300), st.integers(1, 300))
def test_golden_pixels_are_made_by_integers_that_every_language_has(height: int, width: int) -> None:
    pixels = golden_pixels(height, width)
    assert pixels.shape == (height, width, 3)
    assert pixels.dtype == np.uint8
    for y, x in {(0, 0), (height // 2, width // 2), (height - 1, width - 1), (height // 4, width // 3)}:
        disc = ((2 * y - height) / height) ** 2 + ((2 * x - width) / width) ** 2 < 0.25
        red = 200 - 60 * y // height - (90 if disc else 0)
        assert abs(int(pixels[y, x, 0]) - red) <= 1


def test_golden_pixels_show_every_turn_and_swap() -> None:
    pixels = golden_pixels(64, 64)
    assert not any((pixels == other).all() for other in (pixels[::-1], pixels[:, ::-1], pixels[..., ::-1]))
    assert not (pixels == pixels.transpose(1, 0, 2)).all()


def _point(name: str, threshold: float, sensitivity: float, specificity: float) -> dict[str, Any]:
    estimates = (Estimate(value, 0.0, 1.0) for value in (sensitivity, specificity))
    return OperatingPoint(name, "", threshold, "val", "", *estimates).to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"operating_points": [SPEC.operating_points[1].to_json()] * 2}, "points of the model have one name"),
        ({"triage": {"rule_out": 0.9, "rule_in": 0.95}}, "'sensitivity-95' decides at 0.25, where triage is low"),
        ({"triage": {"rule_out": 0.01, "rule_in": 0.02}}, "decides at 0.25, where triage is high already"),
        ({"triage": {"rule_out": 0.3, "rule_in": 0.8}}, "decides at 0.25, where triage is low already"),
        ({"triage": {"rule_out": 0.1, "rule_in": 0.2}}, "decides at 0.25, where triage is high already"),
        (
            {"operating_points": [_point("sensitivity-95", 0.9, 0.95, 0.7), _point("youden", 0.5, 0.9, 0.8)]},
            "'sensitivity-95' has a higher threshold than 'youden' and finds more malignant images",
        ),
        ({"golden": [{"height": 128, "width": 128, "probabilities": [0.75, 0.25], "risk": 0.75}]}, "of other classes"),
        (
            {"golden": [{"height": 128, "width": 128, "probabilities": [0.75], "risk": 0.75}]},
            "one probability for each",
        ),
        ({"golden": [{"height": 128, "width": 128, "probabilities": [2, -1], "risk": 0}]}, "one probability for each"),
        ({"golden": [{"height": 10**6, "width": 1, "probabilities": [0.5, 0.5], "risk": 0.5}]}, "1000000 x 1 pixels"),
        ({"golden": [json.loads(SPEC.to_json())["golden"][0]] * 17}, "17 golden answers"),
    ],
)
def test_values_that_contradict_each_other_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        parse_spec(_changed(**changes))


def test_points_outside_the_uncertain_band_that_are_as_sensitive_or_specific_are_read() -> None:
    """Of a good model a point of 90 % sensitivity is more specific than the rule-in threshold."""
    points = [_point("sensitivity-95", 0.5, 0.95, 0.97), _point("sensitivity-98", 0.2, 0.98, 0.94)]
    assert parse_spec(_changed(operating_points=points, triage={"rule_out": 0.2, "rule_in": 0.3}))
    points = [_point("sensitivity-95", 0.1, 1.0, 0.3), _point("sensitivity-98", 0.2, 0.98, 0.5)]
    assert parse_spec(_changed(operating_points=points, triage={"rule_out": 0.2, "rule_in": 0.3}))


def test_two_fields_of_one_name_are_refused() -> None:
    with pytest.raises(ModelFileError, match="twice"):
        parse_spec(SPEC.to_json().replace('{"name": "youden"', '{"threshold": 0.9, "name": "youden"'))

"""operating_points.json: read back as written; a missing or wrong field and another version are clear errors."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nevus.core.chosen import SCHEMA_VERSION, Chosen, read_chosen, write_chosen
from nevus.core.errors import RunError
from nevus.core.estimate import Estimate
from nevus.core.operating_point import OperatingPoint
from nevus.core.triage import Triage

AGAIN = "Run 'nevus evaluate' again."
POINT = OperatingPoint("youden", "highest Youden index", 0.5, "val", "f" * 64, Estimate(0.9, 0.8, 1), Estimate(1, 1, 1))
CHOSEN = Chosen(
    temperature=1.5,
    default="youden",
    operating_points=(POINT,),
    class_points={"nevus": replace(POINT, name="class")},
    triage=Triage(0.1, 0.6),
    assumed_prevalence=0.2,
    isotonic={"risk": [0.0, 0.5], "calibrated": [0.1, 0.9]},
)


@pytest.mark.parametrize("chosen", [CHOSEN, replace(CHOSEN, isotonic=None, class_points={})], ids=["run", "ensemble"])
def test_it_is_read_as_it_was_written(tmp_path: Path, chosen: Chosen) -> None:
    write_chosen(tmp_path / "operating_points.json", chosen)
    assert read_chosen(tmp_path / "operating_points.json", AGAIN) == chosen


def test_a_threshold_for_high_risk_that_is_not_there_comes_back(tmp_path: Path) -> None:
    write_chosen(tmp_path / "operating_points.json", replace(CHOSEN, triage=Triage(0.1, math.nan)))
    assert math.isnan(read_chosen(tmp_path / "operating_points.json", AGAIN).triage.rule_in)


@pytest.mark.parametrize("field", [name for name in CHOSEN.to_json() if name not in ("schema_version", "isotonic")])
@pytest.mark.parametrize("value", [None, "text", [3]])
def test_a_wrong_field_is_a_clear_error(tmp_path: Path, field: str, value: Any) -> None:
    path = tmp_path / "operating_points.json"
    data = CHOSEN.to_json()
    without = {name: item for name, item in data.items() if name != field}
    for wrong in (without, {**data, field: value}) if field != "default" else (without,):
        path.write_text(json.dumps(wrong))
        with pytest.raises(RunError, match=r"operating_points\.json lacks a field or has a wrong one.*nevus evaluate"):
            read_chosen(path, AGAIN)


def test_of_version_2_the_thresholds_of_classes_are_none(tmp_path: Path) -> None:
    path = tmp_path / "operating_points.json"
    data = CHOSEN.to_json()
    del data["class_operating_points"]
    path.write_text(json.dumps({**data, "schema_version": 2}))
    assert read_chosen(path, AGAIN) == replace(CHOSEN, class_points={})
    path.write_text(json.dumps({**data, "schema_version": SCHEMA_VERSION}))
    with pytest.raises(RunError, match="class_operating_points"):
        read_chosen(path, AGAIN)

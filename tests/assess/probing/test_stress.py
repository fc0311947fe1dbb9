"""The stress test on risks whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from nevus.assess.evaluation import stress_form
from nevus.assess.pages.stress_page import write_stress_page
from nevus.assess.probing.stress import format_stress, stress, verdict
from nevus.assess.statistics.delong import roc_auc
from nevus.core.errors import RunError
from nevus.core.image_changes import CHANGES

NUM_IMAGES = 200
IS_MALIGNANT = np.arange(NUM_IMAGES) % 4 == 0
GROUPS = [f"lesion {number // 2}" for number in range(NUM_IMAGES)]
RISK = np.where(IS_MALIGNANT, 0.8, 0.2) + np.random.default_rng(0).normal(0, 0.05, NUM_IMAGES)


def _changed(**risks: np.ndarray) -> dict[str, np.ndarray]:
    return {change.name: risks.get(change.name, RISK) for change in CHANGES}


def test_flips_shift_and_metrics_are_counted_and_sorted() -> None:
    everyone_up = np.clip(RISK + 0.5, 0, 1)
    some = RISK.copy()
    some[:30] = 1 - some[:30]
    result = stress(RISK, _changed(grey=everyone_up, blur=some), IS_MALIGNANT, GROUPS, 0.5)
    grey, blur, *others = result["changes"]
    assert (grey["name"], blur["name"]) == ("grey", "blur")
    assert grey["flipped"]["value"] == 0.75
    assert grey["sensitivity"]["value"] == 1
    assert grey["specificity"]["value"] == 0
    assert grey["mean_shift"]["value"] == pytest.approx((everyone_up - RISK).mean())
    assert blur["flipped"]["value"] == pytest.approx(0.15)
    assert blur["flipped"]["low"] < 0.15 < blur["flipped"]["high"]
    expected = roc_auc(IS_MALIGNANT, some, np.arange(NUM_IMAGES) // 2)
    assert blur["roc_auc"] == expected.to_json()
    assert all(row["flipped"]["value"] == 0 and row["within_limit"] for row in others)
    assert not grey["within_limit"]
    assert not blur["within_limit"]
    assert result["mean"]["flipped"]["value"] == pytest.approx((0.75 + 0.15) / len(CHANGES))
    assert result["mean"]["within_limit"] is False
    assert result["mean"]["specificity"] == pytest.approx(
        np.mean([row["specificity"]["value"] for row in result["changes"]])
    )
    assert result["flipped_by_any"]["value"] == pytest.approx(((everyone_up >= 0.5) != (RISK >= 0.5)).mean() + 8 / 200)
    assert result["num_groups"] == 100
    text = format_stress(result)
    assert "over the limit" in text
    assert "20 of 22 changes are within their limits (over them: In grey; Blurred)." in verdict(result)


def test_two_images_of_each_lesion_widen_the_interval() -> None:
    pairs = np.repeat(np.random.default_rng(1).random(NUM_IMAGES // 2) < 0.1, 2)
    moved = np.where(pairs, 1 - RISK, RISK)
    by_lesion, alone = (
        stress(RISK, _changed(blur=moved), IS_MALIGNANT, groups, 0.5)["changes"][0]["flipped"]
        for groups in (GROUPS, [str(number) for number in range(NUM_IMAGES)])
    )
    assert by_lesion["value"] == alone["value"]
    assert by_lesion["high"] - by_lesion["low"] > 1.2 * (alone["high"] - alone["low"])


def test_a_steady_model_is_within_all_limits_and_grey_may_flip_more() -> None:
    result = stress(RISK, _changed(), IS_MALIGNANT, GROUPS, 0.5)
    assert verdict(result) == "22 of 22 changes are within their limits. The mean, 0.0 %, is within its limit of 4 %."
    moved = RISK.copy()
    moved[:24] = 1 - moved[:24]
    result = stress(RISK, _changed(grey=moved, hair=moved), IS_MALIGNANT, GROUPS, 0.5)
    assert {row["name"]: row["within_limit"] for row in result["changes"][:2]} == {"grey": True, "hair": False}


def test_the_page_escapes_names_and_a_damaged_file_is_refused(tmp_path) -> None:
    hostile = "<script>alert(1)</script>"
    result = {
        **stress(RISK, _changed(), IS_MALIGNANT, GROUPS, 0.5),
        **dict.fromkeys(("model", "model_sha256", "operating_point", "data", "dataset_fingerprint", "split"), hostile),
        **{"image_size": 16, "generated": True, "seed": 0, "num_available": 999, "notes": [hostile]},
        "pictured": [hostile, "second"],
    }
    pixels = [np.full((16, 16, 3), level, dtype=np.uint8) for level in (90, 180)]
    write_stress_page(tmp_path / "stress.html", result, pixels)
    page = (tmp_path / "stress.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count("data:image/jpeg;base64,") == 2 * (1 + len(CHANGES))
    assert "200 of 999, drawn by group with seed 0" in page
    assert "not a medical device" in page.lower()
    with pytest.raises(RunError, match="lacks a field 'pictured'"):
        stress_form.read({name: value for name, value in result.items() if name != "pictured"})
    with pytest.raises(RunError, match="newer version"):
        stress_form.read({**result, "schema_version": 2})

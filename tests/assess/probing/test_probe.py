"""The probe, on models whose truth is known: one that looks at the lesion, one at the corner, one at nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from assess.report_runs import make_run
from nevus.assess.pages.report import write_report
from nevus.assess.probing import artefacts, heat_truth
from nevus.assess.probing.probe import GAUSSIAN, MODEL, NOISE, Outlined, format_probe, probe
from nevus.core.files import write_json
from nevus.core.image_changes import with_dark_corners, with_ruler
from nevus.core.preprocess import Pixels

SIZE = 24


@pytest.fixture(scope="module")
def images() -> Outlined:
    """Pale skin with a lesion off the middle; malignant ones are darker. A grey corner goes with them, by accident."""
    generator = np.random.default_rng(0)
    num_images = 40
    is_malignant = np.arange(num_images) % 2 == 0
    pixels = np.full((num_images, SIZE, SIZE, 3), 220, dtype=np.uint8)
    masks = np.zeros((num_images, SIZE, SIZE), dtype=bool)
    for image, mask, malignant in zip(pixels, masks, is_malignant, strict=True):
        y, x = generator.integers(2, 12, 2)
        mask[y : y + 8, x : x + 8] = True
        image[mask] = generator.integers(30, 60) if malignant else generator.integers(100, 140)
        image[-2:, -2:] = 20 if malignant else 200
    return Outlined(pixels, masks, is_malignant, [f"lesion{i // 2}" for i in range(num_images)])


def _looks_at_the_lesion(pixels: Pixels) -> tuple[np.ndarray, np.ndarray]:
    """Darkness, summed over the image but for its corner."""
    heat = np.clip(150 - pixels.mean(axis=3), 0, None) / 150
    heat[:, -3:, -3:] = 0
    return np.clip(heat.mean(axis=(1, 2)) * 6, 0, 1), heat - 0.1


def _looks_at_the_corner(pixels: Pixels) -> tuple[np.ndarray, np.ndarray]:
    heat = np.zeros(pixels.shape[:3])
    heat[:, -2:, -2:] = 1 - pixels[:, -2:, -2:].mean(axis=3) / 255
    return heat[:, -2:, -2:].mean(axis=(1, 2)), heat


def test_a_model_of_the_lesion_is_told_from_one_of_the_corner(images: Outlined) -> None:
    lesion, corner = (probe(answer, images, 0.5) for answer in (_looks_at_the_lesion, _looks_at_the_corner))
    assert lesion["heat"][MODEL]["share_inside"]["value"] > 0.95
    assert lesion["heat"][MODEL]["pointing_game"]["value"] == 1
    assert lesion["heat"][MODEL]["over_bell"]["share_inside"]["low"] > 0
    assert corner["heat"][MODEL]["share_inside"]["value"] == 0
    assert corner["heat"][MODEL]["over_bell"]["share_inside"]["high"] < 0
    for name in (GAUSSIAN, NOISE):
        assert lesion["heat"][MODEL]["deletion"]["value"] < lesion["heat"][name]["deletion"]["value"]
        assert lesion["heat"][MODEL]["insertion"]["value"] > lesion["heat"][name]["insertion"]["value"]

    def areas(result: dict) -> dict[str, float]:
        return {row["images"]: row["roc_auc"]["value"] for row in result["artefacts"]}

    assert areas(lesion)["as they are"] == areas(corner)["as they are"] == 1
    assert areas(corner)["lesion taken out"] == areas(corner)["only the border left"] == 1
    assert areas(lesion)["lesion taken out"] == pytest.approx(0.5, abs=0.1)
    dark = next(row for row in corner["artefacts"] if row["images"] == "dark corners put on")
    assert dark["mean_change"]["value"] > 0.3
    assert dark["flipped"]["value"] == 0.5


def test_random_weights_and_the_table(images: Outlined) -> None:
    maps = _looks_at_the_lesion(images.pixels)[1][:10]
    result = probe(_looks_at_the_lesion, images, 0.5, [("logits", maps), ("all", -maps)])
    assert [round(row["correlation"]["value"], 6) for row in result["randomised"]] == [1, -1]
    text = format_probe(result)
    for words in ("40 outlined images, 20 of them malignant", "bell in the middle", "lesion taken out", "logits"):
        assert words in text


def test_a_map_without_heat_has_no_share() -> None:
    mask = np.ones((1, 4, 4), dtype=bool)
    assert np.isnan(heat_truth.share_inside(np.full((1, 4, 4), -1.0), mask)[0])
    assert heat_truth.share_inside(np.ones((1, 4, 4)), mask)[0] == 1


def test_rank_correlation_is_that_of_scipy() -> None:
    from scipy.stats import spearmanr

    first, second = np.random.default_rng(3).normal(size=(2, 5, 4, 4))
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(heat_truth.rank_correlation(first, second), expected)
    assert np.isnan(heat_truth.rank_correlation(first, np.zeros_like(first))).all()


def test_changed_images_keep_what_they_should(images: Outlined) -> None:
    image, mask = images.pixels[0], images.masks[0]
    gone = artefacts.without_lesion(image, mask)
    assert (gone[mask] == 220).all()
    far = np.zeros_like(mask)
    far[-2:, -2:] = True
    assert (gone[far] == image[far]).all()
    border = artefacts.only_border(image)
    assert (border[-2:] == image[-2:]).all()
    assert len(np.unique(border[3:-3, 3:-3])) == 1
    assert (with_ruler(image)[: SIZE // 2] == image[: SIZE // 2]).all()
    assert with_ruler(image)[-1].mean() < image[-1].mean() - 10
    dark = with_dark_corners(image)
    assert (dark[SIZE // 2, SIZE // 2] == image[SIZE // 2, SIZE // 2]).all()
    assert dark[0, 0].max() == 0
    everything = artefacts.without_lesion(image, np.ones_like(mask))
    assert everything.shape == image.shape


def test_the_report_says_what_was_found(images: Outlined, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for answer, word in ((_looks_at_the_corner, "worse"), (_looks_at_the_lesion, "better")):
        found = probe(answer, images, 0.5, [("logits", _looks_at_the_lesion(images.pixels)[1])])
        write_json(run.probe_json, {"data": "some images", "generated": True, **found})
        write_report(run)
        page = run.report_html.read_text(encoding="utf-8")
        assert "some images (generated)" in page
        assert f"{word} than the guess" in page
        assert ("The border alone gives the class away" in page) == (answer is _looks_at_the_corner)

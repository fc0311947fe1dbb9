from __future__ import annotations

import csv
import hashlib
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from nevus.core.errors import ConfigError, DataError, NevusError
from nevus.core.preprocess import load_pixels
from nevus.data.phantom import Phantom, bayes_roc_auc, generate, phantom
from nevus.data.phantom.folder import COLUMNS
from nevus.data.phantom.latents import draw_latents


@pytest.fixture(scope="module")
def population() -> list[Phantom]:
    return [phantom(5, 32, lesion % 2 == 1, lesion=lesion) for lesion in range(400)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("phantoms") / "set"
    return generate(
        directory, num_images=24, image_size=48, seed=3, views_per_lesion=2, exact_duplicates=2, near_duplicates=6
    )


def table(directory: Path) -> list[dict[str, str]]:
    with (directory / "phantom.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digests(directory: Path) -> dict[str, str]:
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != "phantom.csv"]
    return {path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def probe_auc(features: np.ndarray, malignant: np.ndarray) -> float:
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    risk = cross_val_predict(LogisticRegression(), scaled, malignant, cv=5, method="decision_function")
    return float(roc_auc_score(malignant, risk))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    size=st.integers(16, 80),
    malignant=st.booleans(),
    difficulty=st.floats(0.0, 1.0),
    lesion=st.integers(0, 10**6),
)
def test_any_phantom_is_a_whole_image_with_a_lesion(
    seed: int, size: int, malignant: bool, difficulty: float, lesion: int
) -> None:
    drawn = phantom(seed, size, malignant, difficulty=difficulty, lesion=lesion)
    again = phantom(seed, size, malignant, difficulty=difficulty, lesion=lesion)
    assert drawn.image.shape == (size, size, 3)
    assert drawn.image.dtype == np.uint8
    assert drawn.mask.shape == (size, size)
    assert drawn.mask.dtype == np.bool_
    assert 0.02 < drawn.mask.mean() < 0.75
    assert np.array_equal(drawn.image, again.image)


def test_the_class_changes_the_latents_and_no_nuisance() -> None:
    benign, malignant = phantom(1, 32, False, lesion=7), phantom(1, 32, True, lesion=7)
    assert benign.nuisance == malignant.nuisance
    shifts = np.subtract(astuple(malignant.latents), astuple(benign.latents))
    assert shifts == pytest.approx([shifts[0]] * 4)
    assert shifts[0] > 0


def test_a_phantom_looks_alike_at_every_size() -> None:
    small, large = phantom(2, 48, True, lesion=4), phantom(2, 192, True, lesion=4)
    shrunk = np.asarray(Image.fromarray(large.image).resize((48, 48), Image.Resampling.BOX), dtype=float)
    assert np.abs(shrunk - small.image).mean() < 6


def test_the_mask_lies_on_the_dark_region() -> None:
    darker = []
    for lesion in range(40):
        drawn = phantom(8, 64, lesion % 2 == 1, lesion=lesion)
        x = np.linspace(-1, 1, 64)
        lit = np.hypot(x[None, :], x[:, None]) < 0.85
        grey = drawn.image.mean(axis=2)
        darker.append(np.median(grey[lit & ~drawn.mask]) - np.median(grey[lit & drawn.mask]))
    assert np.mean(np.array(darker) > 10) > 0.9


@pytest.mark.parametrize("difficulty", [0.2, 0.5, 0.8])
def test_the_latents_overlap_as_much_as_stated(difficulty: float) -> None:
    malignant = np.arange(4000) % 2 == 1
    totals = [draw_latents(0, i, bool(malignant[i]), difficulty).total for i in range(4000)]
    assert roc_auc_score(malignant, totals) == pytest.approx(bayes_roc_auc(difficulty), abs=0.015)


def test_difficulty_lowers_the_best_possible_roc_auc() -> None:
    limits = [bayes_roc_auc(difficulty) for difficulty in np.linspace(0, 1, 11)]
    assert limits == sorted(limits, reverse=True)
    assert 0.97 < bayes_roc_auc(0.5) < 0.995
    assert bayes_roc_auc(0.0) < 1.0


def test_nuisance_says_nothing_of_the_class_and_latents_do(population: list[Phantom]) -> None:
    malignant = np.array([drawn.malignant for drawn in population])
    nuisance = np.array([astuple(drawn.nuisance) for drawn in population], dtype=float)
    latents = np.array([astuple(drawn.latents) for drawn in population])
    assert 0.40 < probe_auc(nuisance, malignant) < 0.60
    assert probe_auc(latents, malignant) > 0.95


def test_the_mean_colour_is_no_shortcut(population: list[Phantom]) -> None:
    malignant = np.array([drawn.malignant for drawn in population])
    colour = np.array([drawn.image.mean(axis=(0, 1)) for drawn in population])
    assert probe_auc(colour, malignant) < 0.85


def test_views_show_one_lesion_of_one_patient_in_another_pose() -> None:
    first, second = phantom(0, 64, True, lesion=2, view=0), phantom(0, 64, True, lesion=2, view=1)
    neighbour = phantom(0, 64, False, lesion=3)
    assert first.latents == second.latents
    assert first.nuisance.radius == second.nuisance.radius
    assert first.nuisance.rotation != second.nuisance.rotation
    assert not np.array_equal(first.image, second.image)
    assert first.nuisance.skin_tone == neighbour.nuisance.skin_tone
    assert first.nuisance.skin_tone != phantom(0, 64, True, lesion=4).nuisance.skin_tone


def test_image_i_is_the_same_file_whatever_their_number(tmp_path: Path) -> None:
    few = digests(generate(tmp_path / "few", num_images=5, image_size=32, seed=9))
    many = digests(generate(tmp_path / "many", num_images=12, image_size=32, seed=9, exact_duplicates=1))
    other = digests(generate(tmp_path / "other", num_images=5, image_size=32, seed=10))
    assert few.items() < many.items()
    assert few.keys() == other.keys()
    assert few.items().isdisjoint({k: v for k, v in other.items() if not k.startswith(".masks")}.items())


def test_the_table_lists_every_image_and_each_has_a_mask(folder: Path) -> None:
    rows = table(folder)
    assert tuple(rows[0]) == COLUMNS
    listed = [row["image"] for row in rows]
    on_disk = {path.relative_to(folder).as_posix() for path in folder.glob("[!.]*/*")}
    assert len(listed) == len(set(listed)) == 24 + 2 + 6
    assert set(listed) == on_disk
    for row in rows:
        name = Path(row["image"]).name
        assert name.startswith("generated_")
        with Image.open(folder / ".masks" / f"{Path(name).stem}.png") as mask:
            assert mask.mode == "1"
            assert mask.size == (48, 48)
        assert (row["difficulty"], row["seed"]) == ("0.5", "3")


def test_files_say_that_they_are_generated(folder: Path) -> None:
    for row in table(folder):
        with Image.open(folder / row["image"]) as image:
            note = image.info["comment"].decode() if image.format == "JPEG" else image.info["Description"]
        assert note == "generated phantom"


def test_rows_of_the_table_draw_the_same_image_in_memory(folder: Path) -> None:
    row = table(folder)[5]
    drawn = phantom(3, 48, row["image"].startswith("malignant"), lesion=int(row["lesion_id"][-6:]), view=1)
    assert np.array_equal(load_pixels(folder / row["image"], 48), drawn.image)


def test_views_and_patients_are_in_the_table(folder: Path) -> None:
    originals = [row for row in table(folder) if not row["duplicate_of"]]
    assert [row["lesion_id"] for row in originals[:4]] == ["lesion_000000"] * 2 + ["lesion_000001"] * 2
    assert len({row["patient_id"] for row in originals}) == 6
    classes: dict[str, set[str]] = {}
    for row in originals:
        classes.setdefault(row["lesion_id"], set()).add(row["image"].split("/")[0])
    assert all(len(names) == 1 for names in classes.values())


def test_duplicates_are_what_the_table_says(folder: Path) -> None:
    exact = [row for row in table(folder) if "exact" in row["image"]]
    near = [row for row in table(folder) if "near" in row["image"]]
    assert (len(exact), len(near)) == (2, 6)
    for row in exact:
        assert (folder / row["image"]).read_bytes() == (folder / row["duplicate_of"]).read_bytes()
    for number, row in enumerate(near):
        pixels, original = (load_pixels(folder / row[key], 48).astype(float) for key in ("image", "duplicate_of"))
        upright = np.rot90(pixels, -1) if number % 3 == 1 else pixels
        if number % 3 == 2:
            upright, original = upright[10:38, 10:38], original[10:38, 10:38]
        assert (folder / row["image"]).read_bytes() != (folder / row["duplicate_of"]).read_bytes()
        assert np.corrcoef(upright.ravel(), original.ravel())[0, 1] > 0.85
    for row in exact + near:
        assert row["lesion_id"] == row["patient_id"] == ""
        assert Path(row["image"]).parent == Path(row["duplicate_of"]).parent


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 0), (0.2, 4), (0.5, 10), (1.0, 20)])
def test_the_malignant_fraction_is_met(tmp_path: Path, fraction: float, expected: int) -> None:
    generate(tmp_path, num_images=20, image_size=16, malignant_fraction=fraction)
    assert len(list((tmp_path / "malignant").iterdir())) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_images": 0},
        {"image_size": 8},
        {"image_size": 4096},
        {"seed": -1},
        {"difficulty": 1.5},
        {"difficulty": float("nan")},
        {"malignant_fraction": -0.1},
        {"views_per_lesion": 0},
        {"exact_duplicates": -1},
        {"near_duplicates": -1},
        {"num_images": 4, "exact_duplicates": 3, "near_duplicates": 2},
    ],
)
def test_wrong_arguments_are_named_before_anything_is_written(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=list(wrong)[-1]):
        generate(tmp_path / "set", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("wrong", [{"lesion": -1}, {"view": -1}, {"difficulty": -0.1}])
def test_wrong_arguments_of_a_single_phantom_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(NevusError, match=next(iter(wrong))):
        phantom(0, 32, True, **wrong)  # type: ignore[arg-type]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="not an empty folder"):
        generate(tmp_path, num_images=2)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    with pytest.raises(DataError, match="not an empty folder"):
        generate(tmp_path / "set", num_images=2)
    with pytest.raises(DataError, match="cannot make folders"):
        generate(tmp_path / "set" / "below", num_images=2)

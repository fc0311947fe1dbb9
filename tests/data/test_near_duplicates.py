"""Near-duplicates: every kind of copy is found, whatever its class; different pictures are not joined."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nevus.core.dataset import Dataset
from nevus.core.errors import DataError
from nevus.core.preprocess import Pixels
from nevus.data import phantom
from nevus.data.alignment import SIZE, TRANSFORMS, grey, resample, similarity
from nevus.data.candidates import candidate_pairs, descriptors
from nevus.data.detail import surround
from nevus.data.near_duplicates import LEAST_SIMILARITY, NEAR, SAME_FILE, SAME_PIXELS, duplicate_pairs, find_duplicates
from nevus.data.prepare import prepare
from nevus.data.splits import split

NUM_IMAGES = 60


def changed(image: Image.Image, change: str) -> Image.Image:
    width, height = image.size
    match change:
        case "cropped":
            return image.crop((round(0.05 * width), 0, width, round(0.95 * height)))
        case "turned":
            return image.transpose(Image.Transpose.ROTATE_90)
        case "flipped":
            return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        case "halved":
            return image.resize((width // 2, height // 2), Image.Resampling.BILINEAR)
        case "turned by 5 degrees" | "turned by 10 degrees" | "turned by 30 degrees":
            return image.rotate(int(change.split()[2]), Image.Resampling.BILINEAR)
        case "mirrored and turned by 15 degrees":
            return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).rotate(-15, Image.Resampling.BILINEAR)
        case "brighter":
            return Image.fromarray(np.clip(np.asarray(image) * 1.05 + 4.0, 0, 255).astype(np.uint8))
    return image


CHANGES = (
    "saved as PNG",
    "compressed",
    "cropped",
    "turned",
    "flipped",
    "halved",
    "brighter",
    "turned by 5 degrees",
    "turned by 10 degrees",
    "turned by 30 degrees",
    "mirrored and turned by 15 degrees",
)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms, one lesion each, and a copy of one for each change, without ids."""
    root = phantom.generate(tmp_path_factory.mktemp("phantoms") / "images", num_images=NUM_IMAGES, image_size=128)
    (root / "phantom.csv").unlink()
    for number, change in enumerate(CHANGES):
        path = next(root.glob(f"*/generated_{number:06}.png"))
        with Image.open(path) as image:
            copy = changed(image.convert("RGB"), change)
        name = path.with_name(f"generated_copy_{number:06}.png")
        copy.save(name.with_suffix(".jpg"), quality=50) if change == "compressed" else copy.save(name)
    return root


@pytest.fixture(scope="module")
def prepared(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepare(phantoms, tmp_path_factory.mktemp("prepared") / "dataset", image_size=96, workers=1)


@pytest.fixture
def dataset(prepared: Dataset, tmp_path: Path) -> Dataset:
    """A copy, which a test may change."""
    shutil.copytree(prepared.directory, tmp_path / "dataset")
    return Dataset(tmp_path / "dataset")


def test_every_kind_of_copy_is_found_and_nothing_else(dataset: Dataset) -> None:
    pairs = {(pair.first, pair.second): pair for pair in duplicate_pairs(dataset)}
    wanted = {(f"generated_{n:06}", f"generated_copy_{n:06}") for n in range(len(CHANGES))}
    assert {tuple(sorted(ends, key=lambda name: "copy" in name)) for ends in pairs} == wanted
    by_change = {CHANGES[int(pair.first[-6:])]: pair for pair in pairs.values()}
    assert by_change["saved as PNG"].kind == SAME_PIXELS
    assert all(by_change[change].kind == NEAR for change in CHANGES[1:])
    assert by_change["turned"].transform in ("turned by 90 degrees clockwise", "turned by 90 degrees anticlockwise")
    assert by_change["flipped"].transform == "flipped left to right"
    assert by_change["compressed"].transform == "as it is"
    assert by_change["turned by 10 degrees"].transform == "turned by another angle"
    assert by_change["mirrored and turned by 15 degrees"].transform == "mirrored and turned by another angle"


def test_groups_are_joined_before_the_split(dataset: Dataset) -> None:
    find_duplicates(dataset)
    groups: dict[str, set[str]] = {}
    for row in dataset.rows:
        if row.duplicate_group:
            groups.setdefault(row.duplicate_group, set()).add(row.image_id[-6:])
    assert {frozenset(numbers) for numbers in groups.values()} == {frozenset({f"{n:06}"}) for n in range(len(CHANGES))}
    split(dataset, val_fraction=0.2, test_fraction=0.2, seed=3)
    splits = {row.image_id: row.split for row in dataset.rows}
    assert all(splits[f"generated_{n:06}"] == splits[f"generated_copy_{n:06}"] for n in range(len(CHANGES)))


def test_finding_again_changes_nothing_and_does_not_search(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    find_duplicates(dataset)
    before = dataset.manifest_csv.read_bytes(), dataset.duplicates_json.read_bytes()
    # The pixels are gone: a search would fail.
    dataset.pixels_npy.unlink()
    find_duplicates(Dataset(dataset.directory))
    assert (dataset.manifest_csv.read_bytes(), dataset.duplicates_json.read_bytes()) == before


def test_other_images_are_searched_anew(dataset: Dataset) -> None:
    before = duplicate_pairs(dataset)
    dataset.write_rows([row for row in dataset.rows if row.image_id != before[0].second])
    after = duplicate_pairs(Dataset(dataset.directory))
    assert after == [pair for pair in before if pair.second != before[0].second]


def test_groups_that_are_there_stay_together(dataset: Dataset) -> None:
    rows = dataset.rows
    dataset.write_rows([replace(row, duplicate_group="mine" if i in (20, 21) else "") for i, row in enumerate(rows)])
    found = find_duplicates(dataset).rows
    assert found[20].duplicate_group == found[21].duplicate_group != ""


@pytest.mark.parametrize("content", ["no json", '{"fingerprint": "FP", "pairs": [{"first": "a"}]}'])
def test_a_damaged_record_is_an_error_that_says_how_to_mend_it(dataset: Dataset, content: str) -> None:
    duplicate_pairs(dataset)
    fingerprint = json.loads(dataset.duplicates_json.read_text())["fingerprint"]
    dataset.duplicates_json.write_text(content.replace("FP", fingerprint))
    with pytest.raises(DataError, match=r"duplicates\.json.*[Dd]elete"):
        duplicate_pairs(dataset)


def test_copies_of_one_file_are_joined_to_the_first(tmp_path: Path) -> None:
    root = phantom.generate(tmp_path / "images", num_images=12, image_size=64, exact_duplicates=2)
    (root / "phantom.csv").unlink()
    first = next(root.glob("*/generated_000000.png"))
    (root / "malignant" / "third.png").write_bytes(first.read_bytes())
    pairs = duplicate_pairs(prepare(root, tmp_path / "dataset", image_size=64))
    assert [pair.kind for pair in pairs] == [SAME_FILE] * 3
    assert [pair.first for pair in pairs].count("generated_000000") == 2


def test_images_of_one_colour_and_noise_are_no_duplicates(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "images" / ("benign", "malignant")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((64, 64, 3), 20 * number, np.uint8)
        if number > 5:
            pixels = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    assert duplicate_pairs(prepare(tmp_path / "images", tmp_path / "dataset", image_size=64)) == []


def picture(seed: int) -> Pixels:
    drawn: Pixels = phantom.phantom(seed, 128, bool(seed % 2)).image
    return drawn


@settings(max_examples=15)
@given(seed=st.integers(0, 500), transform=st.integers(0, 7), kept=st.floats(0.93, 1), corner=st.floats(0, 1))
def test_a_turned_and_cropped_picture_is_laid_over_its_original(
    seed: int, transform: int, kept: float, corner: float
) -> None:
    original = picture(seed)
    transposes, flips = divmod(transform, 4)
    turned = original.transpose(1, 0, 2) if transposes else original
    turned = turned[:: -1 if flips & 1 else 1, :: -1 if flips & 2 else 1]
    start = corner * (1 - kept) * 128
    box = (start, start, start + kept * 128, start + kept * 128)
    copy = np.asarray(Image.fromarray(turned.copy()).resize((128, 128), Image.Resampling.BILINEAR, box=box))
    score, _ = similarity(grey(original[None]), grey(copy[None]))
    assert score[0] > LEAST_SIMILARITY


def test_the_named_transform_is_the_one_that_was_undone() -> None:
    original = grey(picture(4)[None])
    for clockwise, name in ((-1, "turned by 90 degrees anticlockwise"), (1, "turned by 90 degrees clockwise")):
        # A copy turned clockwise must be turned anticlockwise to look like its original.
        copy = np.rot90(original, k=clockwise, axes=(1, 2)).copy()
        score, transform = similarity(original, copy)
        assert score[0] == pytest.approx(1, abs=1e-3)
        assert TRANSFORMS[transform[0]] == name


@pytest.mark.parametrize("beyond", ["constant", "edge", "reflect"])
@pytest.mark.parametrize("degrees", [3, 5, 10, 15, 30, 45, 170])
def test_a_picture_turned_by_any_angle_is_laid_over_its_original(degrees: int, beyond: str) -> None:
    originals = np.stack([picture(seed) for seed in range(20, 26)])
    copies = []
    for original in originals:
        padded = np.pad(original, ((64, 64), (64, 64), (0, 0)), beyond)  # type: ignore[call-overload]
        copies.append(np.asarray(Image.fromarray(padded).rotate(degrees, Image.Resampling.BILINEAR))[64:-64, 64:-64])
    score, _ = similarity(grey(originals), grey(np.stack(copies)))
    assert (score > LEAST_SIMILARITY).all()
    others, _ = similarity(grey(originals), grey(np.roll(np.stack(copies), 1, axis=0)))
    assert (others < LEAST_SIMILARITY).all()


def test_a_picture_turned_before_it_was_squeezed_to_a_square_is_found() -> None:
    wide = Image.fromarray(picture(30)).resize((200, 150))
    pictures = [image.resize((128, 128)) for image in (wide, wide.rotate(15, Image.Resampling.BILINEAR))]
    score, transform = similarity(*(grey(np.asarray(image)[None]) for image in pictures))
    assert score[0] > LEAST_SIMILARITY
    assert TRANSFORMS[transform[0]] == "turned by another angle"


def test_a_shared_black_surround_makes_no_duplicates() -> None:
    y, x = np.mgrid[:128, :128]
    outside = np.hypot(y - 63.5, x - 63.5) > 45
    first, second = (np.where(outside[..., None], 0, picture(seed)).astype(np.uint8) for seed in (10, 12))
    score, _ = similarity(grey(first[None]), grey(second[None]))
    assert score[0] < LEAST_SIMILARITY
    assert surround(grey(first[None]))[0, 0, 0]
    assert not surround(grey(first[None]))[0, SIZE // 2, SIZE // 2]


def test_resampling_is_that_of_pillow() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (96, 96)).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(resample(image[None], 64)[0], expected, atol=0.02)


def test_descriptors_do_not_change_with_flips_and_turns() -> None:
    original = picture(7)
    copies = [np.rot90(side, k) for side in (original, original[::-1]) for k in range(4)]
    found = descriptors(np.stack(copies), np.arange(8))
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), atol=1e-3)
    turned = np.asarray(Image.fromarray(original).rotate(25, Image.Resampling.BILINEAR))
    plain, other, stranger = descriptors(np.stack([original, turned, picture(8)]), np.arange(3))
    assert plain @ other > 0.999 > plain @ stranger


def test_candidates_name_each_pair_once_in_order() -> None:
    pixels = np.stack([picture(seed) for seed in (1, 2, 3, 1)])
    pairs = candidate_pairs(pixels, np.array([3, 1, 0]))
    assert [0, 2] in pairs.tolist()
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert candidate_pairs(pixels, np.array([0])).shape == (0, 2)


@pytest.mark.slow
@pytest.mark.real_data
def test_planted_copies_among_real_images_are_found(real_images: Path, tmp_path: Path) -> None:
    root = tmp_path / "images"
    paths = [path for label in ("benign", "malignant") for path in sorted((real_images / label).iterdir())[:500]]
    for path in paths:
        link = root / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    wanted = {}
    for number, path in enumerate(paths[::20]):
        with Image.open(path) as image:
            copy = changed(image.convert("RGB"), CHANGES[number % len(CHANGES)])
        name = f"copy_{number:03}"
        copy.save(root / path.parent.name / f"{name}.jpg", quality=60)
        wanted[name] = path.stem
    dataset = find_duplicates(prepare(root, tmp_path / "dataset", image_size=128))
    groups = {row.image_id: row.duplicate_group for row in dataset.rows}
    found = [bool(groups[copy]) and groups[copy] == groups[original] for copy, original in wanted.items()]
    assert np.mean(found) >= 0.98

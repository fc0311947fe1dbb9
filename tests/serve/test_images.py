from __future__ import annotations

import io
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bad_inputs
from nevus.core.errors import DataError
from nevus.serve.image_files import find_images
from nevus.serve.images import to_pixels


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "folder.jpg/inside.tif", "z/y/x/deep.webp",
        ".cache/thumb.jpg", "README",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def _names(tree: Path, *paths: Path) -> list[str]:
    return [str(path.relative_to(tree)) for path in find_images(paths or [tree])]


def test_folders_are_searched_in_order_and_hidden_files_left_out(tree: Path) -> None:
    assert _names(tree) == ["a.PNG", "b.jpg", "folder.jpg/inside.tif", "z/y/x/deep.webp"]


def test_a_named_file_is_given_as_it_is(tree: Path) -> None:
    named = [tree / "README", tree / ".hidden.jpg", tree / "absent.jpg", tree / "b.jpg"]
    assert list(find_images(named)) == named


def test_loops_of_links_end_and_links_to_folders_are_followed(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "far.jpg").touch()
    (tree / "link").symlink_to(elsewhere)
    (tree / "z" / "loop").symlink_to(tree)
    (tree / "z" / "self").symlink_to(tree / "z")
    (tree / "broken.jpg").symlink_to(tree / "nowhere")
    (tree / "self.jpg").symlink_to("self.jpg")
    found = _names(tree)
    assert "link/far.jpg" in found
    assert "broken.jpg" in found
    assert "self.jpg" in found
    assert found.count("z/y/x/deep.webp") == 1
    assert not [name for name in found if "loop" in name or "self/" in name]


def test_a_folder_that_is_named_is_passed_over(tree: Path) -> None:
    (tree / "again").symlink_to(tree / "z")
    assert [path for path in find_images([tree]) if "/z/" in str(path)]
    left = list(find_images([tree], but=tree / "again"))
    assert left
    assert not [path for path in left if "z" in path.relative_to(tree).parts or "again" in path.parts]


def test_no_image_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        DataError, match=r"No images were found. Expected files of the formats JPEG, PNG.* 1 other files"
    ):
        find_images([tmp_path])


def test_a_name_that_is_too_long_is_left_to_its_reader(tree: Path) -> None:
    assert next(find_images([Path("x" * 300), tree])) == Path("x" * 300)


def test_search_is_lazy(tree: Path) -> None:
    paths = (tree for _ in itertools.count())
    assert len(list(itertools.islice(find_images(paths), 1000))) == 1000


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may list any folder")
def test_a_folder_that_cannot_be_listed_is_given_itself(tree: Path) -> None:
    closed = tree / "closed"
    closed.mkdir(mode=0)
    assert closed in list(find_images([tree]))


@pytest.mark.parametrize("name", ["plain.jpg", "exif_wrong_type.jpg", "exif_orientation_6.jpg", "rgba.png"])
def test_an_opened_image_gives_the_pixels_of_its_bytes(name: str) -> None:
    content = bad_inputs.odd_but_good_files()[name]
    opened, read = (to_pixels(image, 48, check=False) for image in (Image.open(io.BytesIO(content)), content))
    np.testing.assert_array_equal(opened, read)

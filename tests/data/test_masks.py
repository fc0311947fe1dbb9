"""Finding the mask of an image, as HAM10000 and the phantoms name them."""

from __future__ import annotations

from pathlib import Path

from nevus.data import phantom
from nevus.data.masks import find_mask
from nevus.data.sources import find_images


def test_masks_are_found_by_the_name_of_their_image(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "ISIC_1_segmentation.png").touch()
    (tmp_path / "masks" / "b.png").touch()
    assert find_mask(tmp_path, Path("images/ISIC_1.jpg")) == tmp_path / "masks" / "ISIC_1_segmentation.png"
    assert find_mask(tmp_path, Path("b.jpg")) == tmp_path / "masks" / "b.png"
    assert find_mask(tmp_path, Path("images/ISIC_2.jpg")) is None


def test_every_phantom_has_one(tmp_path: Path) -> None:
    phantom.generate(tmp_path / "images", num_images=8, image_size=48, seed=1)
    listing = find_images(tmp_path / "images")
    assert all(find_mask(listing.root, image.path) for image in listing.images)

"""Fingerprints know copies again and nothing else; the search for them is the same as looking at every pair."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nevus.core import fingerprints as prints
from nevus.core.errors import ModelFileError
from nevus.core.preprocess import Pixels, resize


def textured(num_images: int, seed: int = 0) -> Pixels:
    """Noise of several coarsenesses, uint8 [N, 128, 128, 3]: each image has a detail of its own."""
    rng = np.random.default_rng(seed)
    layers = [
        np.stack([resize(Image.fromarray(one), 128) for one in rng.integers(0, 256, (num_images, n, n, 3), np.uint8)])
        for n in (8, 16, 32)
    ]
    return np.mean(layers, axis=0).astype(np.uint8)


def compressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer).convert("RGB")


CHANGES = {
    "as it is": lambda image: image,
    "compressed": compressed,
    "resized": lambda image: image.resize((300, 200), Image.Resampling.LANCZOS),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "mirrored and turned": lambda image: compressed(image.transpose(Image.Transpose.TRANSVERSE)),
    "brighter": lambda image: image.point(lambda level: min(255, round(1.1 * level))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_known_again(change: str) -> None:
    originals = textured(40)
    copies = np.stack([resize(CHANGES[change](Image.fromarray(one)), 128) for one in originals])
    seen = prints.seen_otherwise(copies, range(40))
    images, places = prints.copies(seen, prints.fingerprints(originals, range(40)))
    assert images.tolist() == places.tolist() == list(range(40))


def test_other_images_are_not_taken_for_copies() -> None:
    images, _ = prints.copies(
        prints.seen_otherwise(textured(200, seed=1), range(200)), prints.fingerprints(textured(200), range(200))
    )
    assert images.size == 0


def test_images_without_detail_are_copies_of_nothing() -> None:
    flat = np.zeros((6, 64, 64, 3), dtype=np.uint8) + np.arange(40, 100, 10, dtype=np.uint8)[:, None, None, None]
    flat[::2, :8, :8] = 250  # A mark in the corner is not much detail.
    assert not prints.fingerprints(flat, range(6)).any()
    assert prints.copies(prints.seen_otherwise(flat, range(6)), prints.fingerprints(flat, range(6)))[0].size == 0


def test_rows_may_be_in_any_order() -> None:
    pixels = textured(5)
    assert prints.fingerprints(pixels, [4, 0]).tolist() == prints.fingerprints(pixels, range(5))[[4, 0]].tolist()


@pytest.mark.parametrize("furthest", [0, 3, 6, 20])
def test_the_search_finds_what_comparing_every_pair_finds(furthest: int) -> None:
    rng = np.random.default_rng(furthest)
    known = rng.integers(0, 2**63, 300, dtype=np.uint64)
    seen = rng.integers(0, 2**63, (8, 50), dtype=np.uint64)
    for view in range(8):  # Some that are close, at every distance.
        for image in range(0, 50, 3):
            flipped = rng.choice(64, size=rng.integers(0, 12), replace=False)
            seen[view, image] = known[image * 5] ^ np.bitwise_or.reduce(
                np.left_shift(np.uint64(1), flipped.astype(np.uint64)), initial=np.uint64(0)
            )
    bits = np.unpackbits((seen[:, :, None] ^ known).view(np.uint8).reshape(8, 50, 300, 8), axis=-1).sum(axis=-1)
    expected = np.argwhere((bits <= furthest).any(axis=0))
    images, places = prints.copies(seen, known, furthest)
    assert np.array_equal(np.column_stack([images, places]), expected)


def test_bits_are_counted_alike_with_every_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0).integers(0, 2**64 - 1, (3, 7), dtype=np.uint64)
    expected = [[bin(int(number)).count("1") for number in row] for row in numbers]
    assert prints._num_bits(numbers).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert prints._num_bits(numbers).tolist() == expected


def test_a_list_of_16000_images_is_small_and_comes_back(tmp_path: Path) -> None:
    known = np.random.default_rng(0).integers(0, 2**63, 16_000, dtype=np.uint64)
    path = prints.list_of(tmp_path / "model.int8.onnx")
    assert path.name == "model.fingerprints.npy"
    prints.write_list(path, np.concatenate([known, known[:5]]))
    assert path.stat().st_size < 130_000
    assert prints.read_list(path).tolist() == sorted(known.tolist())
    assert prints.digest(known) == prints.digest(known[::-1])


def test_no_list_is_none_and_a_damaged_one_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.fingerprints.npy"
    assert prints.read_list(path) is None
    path.write_bytes(b"not a list")
    with pytest.raises(ModelFileError, match="not a list of fingerprints"):
        prints.read_list(path)
    np.save(path, np.zeros(3))
    with pytest.raises(ModelFileError, match="not a list of fingerprints"):
        prints.read_list(path)

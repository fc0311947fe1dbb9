"""Images that pass the check of the server, made once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of generated lesions, benign and malignant, large enough for the check."""
    from nevus.data import phantom
    from nevus.serve.image_files import find_images

    folder = tmp_path_factory.mktemp("lesions")
    phantom.generate(folder / "images", num_images=12, image_size=128, seed=3)
    return list(find_images([folder / "images"]))

"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

# A property is true or false; how long an example takes on a busy machine says nothing of it.
settings.register_profile("nevus", deadline=None)
settings.load_profile("nevus")

# Tests run in several processes at once, on small arrays: threads of these libraries would mostly wait for each other.
# Read when they are loaded, which no test module has done yet.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# Loading libraries makes a million objects and hardly any garbage.
gc.disable()

DATA = Path(os.environ.get("NEVUS_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_collection_finish() -> None:
    """All is loaded by now: garbage is collected again, but not looked for in the libraries at every pass."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder benign/ and malignant/ of the melanoma set; the test skips where it is absent."""
    folder = DATA / "melanoma10000" / "train"
    if not folder.is_dir():
        pytest.skip(f"real images are not at {folder}; set NEVUS_DATA to the folder that holds melanoma10000/")
    return folder


@pytest.fixture(scope="session")
def ham10000() -> Path:
    """HAM10000 as published but smaller; the test skips where it is absent."""
    folder = DATA / "ham10000"
    if not folder.is_dir():
        pytest.skip(f"real images are not at {folder}; set NEVUS_DATA to the folder that holds ham10000/")
    return folder

"""The names that sources have for the splits train, val and test: of folders, in cells and in the names of files."""

from __future__ import annotations

import re

# In the form of `labels.normalise`.
SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training", "train_set", "training_set", "train_sep"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "val_set", "valid_set", "validation_set"), "val"),
    **dict.fromkeys(("test", "testing", "test_set", "testing_set"), "test"),
}


def split_of(name: str) -> str:
    """The split that a word in the last name of a path tells: train, val, test, or empty."""
    words = re.split(r"[^a-z]+", name.rpartition("/")[2].lower())
    return next((SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS), "")

"""The names of the splits as options give them, and of the versions in which a test split is scored."""

from nevus.core.manifest import SPLITS

# The images of every split, and those of none.
ALL = "all"
SPLIT_NAMES = (*SPLITS, ALL)

# The test without the images whose lesion, patient or picture is in another split too.
WITHOUT_LEAKS = "test_without_leaks"

# What a version is called where there are two of them.
VERSIONS = {WITHOUT_LEAKS: "without the leaked images", "test": "as published"}

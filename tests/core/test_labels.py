import numpy as np
import pytest

from nevus.core.errors import DataError
from nevus.core.labels import Classes, binary_labels, is_malignant, normalise


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mel", True),
        ("Melanoma", True),
        ("BCC", True),
        ("Squamous Cell-Carcinoma", True),
        ("akiec", True),
        ("nv", False),
        ("Benign", False),
        ("seborrheic  keratosis", False),
        ("Non_Melanoma", False),
        ("unknown thing", None),
    ],
)
def test_known_names_tell_whether_they_are_malignant(name: str, expected: bool | None) -> None:
    assert is_malignant(name) is expected


def test_names_are_compared_without_case_spaces_and_hyphens() -> None:
    assert normalise(" Basal cell-Carcinoma ") == "basal_cell_carcinoma"


def test_ham10000_names_become_two_classes_with_malignant_last() -> None:
    classes, labels = binary_labels(["nv", "mel", "bkl", "bcc", "akiec", "vasc", "df", "mel"])
    assert classes == Classes(("benign", "malignant"), ("malignant",))
    assert {name for name, label in labels.items() if label == "malignant"} == {"mel", "bcc", "akiec"}
    np.testing.assert_array_equal(classes.malignant_mask, [False, True])


def test_named_malignant_diagnoses_override_the_table() -> None:
    _, labels = binary_labels(["A", "b c", "mel"], malignant=["B_C"])
    assert labels == {"A": "benign", "b c": "malignant", "mel": "benign"}


def test_unknown_diagnosis_is_an_error_that_names_it() -> None:
    with pytest.raises(DataError, match=r"\['spots'\].*--malignant spots"):
        binary_labels(["mel", "spots"])


def test_malignant_name_that_no_image_has_is_an_error() -> None:
    with pytest.raises(DataError, match="mle"):
        binary_labels(["mel", "nv"], malignant=["mle"])


@pytest.mark.parametrize("diagnoses", [[], ["nv", "bkl"], ["mel"]])
def test_one_class_only_is_an_error(diagnoses: list[str]) -> None:
    with pytest.raises(DataError, match="Expected benign and malignant"):
        binary_labels(diagnoses)


@pytest.mark.parametrize(
    ("names", "malignant"),
    [(("a",), ("a",)), (("a", "a"), ("a",)), (("a", "b"), ()), (("a", "b"), ("a", "b")), (("a", "b"), ("c",))],
)
def test_classes_need_a_benign_and_a_malignant_one(names: tuple[str, ...], malignant: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="Received"):
        Classes(names, malignant)

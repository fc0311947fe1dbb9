"""The table of diagnoses: what each name means, which classes a dataset gets, and that docs/data.md says the same."""

from __future__ import annotations

import csv
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from nevus.core.errors import DataError
from nevus.core.labels import Classes, normalise
from nevus.data.diagnoses import (
    BENIGN_CLASSES,
    MALIGNANT_CLASSES,
    Named,
    assign_classes,
    class_of,
    is_malignant,
    known_names,
)

HAM10000 = ("nv", "mel", "bkl", "bcc", "akiec", "vasc", "df")
DOCS = Path(__file__).parents[2] / "docs" / "data.md"


def named(*names: str) -> list[Named]:
    return [(name, None) for name in names]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mel", True),
        ("Melanoma", True),
        ("BCC", True),
        ("Squamous Cell-Carcinoma", True),
        ("akiec", True),
        ("ACK", False),
        ("nv", False),
        ("Benign", False),
        ("seborrheic  keratosis", False),
        ("Non_Melanoma", False),
        ("unknown thing", None),
    ],
)
def test_known_names_tell_whether_they_are_malignant(name: str, expected: bool | None) -> None:
    assert is_malignant(name) is expected


def test_each_name_stands_once_in_the_table_and_in_a_class_that_there_is() -> None:
    text = resources.files("nevus.data").joinpath("diagnoses.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    names = [normalise(row["name"]) for row in rows]
    assert len(set(names)) == len(names)
    assert {row["class"] for row in rows} == {*BENIGN_CLASSES, *MALIGNANT_CLASSES}
    assert all(row["source"] for row in rows)


def test_the_documentation_has_every_class_with_its_verdict_and_every_name() -> None:
    text = DOCS.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| (yes|no) \|", text, re.MULTILINE))
    assert rows == dict.fromkeys(MALIGNANT_CLASSES, "yes") | dict.fromkeys(BENIGN_CLASSES, "no")
    assert "diagnoses.csv" in text


def test_ham10000_has_seven_classes_three_of_them_malignant() -> None:
    classes, labels = assign_classes(named(*HAM10000))
    assert classes.names == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert set(classes.malignant) == {"akiec", "bcc", "mel"}
    assert labels["bkl", None] == "bkl"
    np.testing.assert_array_equal(classes.malignant_mask, [True, True, False, False, True, False, False])


def test_names_of_one_class_in_several_datasets_become_one() -> None:
    _, labels = assign_classes(named("MEL", "melanoma (in situ)", "NEV", "clark nevus", "SEK", "bkl"))
    assert set(labels.values()) == {"mel", "nv", "bkl"}


@pytest.mark.parametrize(
    "names", [("benign", "malignant"), ("mel", "nv"), ("mel", "nv", "bkl", "benign"), ("mel", "nv", "bcc", "malignant")]
)
def test_two_classes_where_diagnoses_do_not_say_more(names: tuple[str, ...]) -> None:
    classes, labels = assign_classes(named(*names))
    assert classes == Classes(("benign", "malignant"), ("malignant",))
    assert labels[names[0], None] == ("malignant" if is_malignant(names[0]) else "benign")


def test_the_kind_of_classes_can_be_asked_for() -> None:
    binary, labels = assign_classes(named(*HAM10000), "binary")
    assert binary.names == ("benign", "malignant")
    assert {name for (name, _), label in labels.items() if label == "malignant"} == {"mel", "bcc", "akiec"}
    two, _ = assign_classes(named("mel", "nv"), "diagnosis")
    assert two == Classes(("nv", "mel"), ("mel",))
    mixed, _ = assign_classes(named("mel", "nv", "benign"), "diagnosis")
    assert mixed.names == ("benign", "mel", "nv")


def test_what_a_source_says_of_malignancy_holds() -> None:
    pairs: list[Named] = [("schwannoma", False), ("nevus", False), ("nevus", True), ("melanoma", True)]
    _, labels = assign_classes(pairs, "diagnosis")
    assert labels == {
        ("schwannoma", False): "benign",
        ("nevus", False): "nv",
        ("nevus", True): "malignant",
        ("melanoma", True): "mel",
    }


def test_malignant_diagnoses_can_be_named() -> None:
    classes, labels = assign_classes(named("A", "b c", "mel"), malignant=["B_C", "mel"])
    assert labels == {("A", None): "benign", ("b c", None): "malignant", ("mel", None): "malignant"}
    classes, labels = assign_classes(named("A", "b c", "mel"), "diagnosis", malignant=["B_C", "mel"])
    assert classes == Classes(("a", "b_c", "mel"), ("b_c", "mel"))


@pytest.mark.parametrize(
    ("found", "malignant", "named_in_error"),
    [
        (("Melanoma", "0"), ["0"], "leaves out ['Melanoma']"),
        (("Melanoma", "1", "other"), ["1"], "leaves out ['Melanoma']"),
        (("Melanoma", "NotMelanoma"), ["NotMelanoma"], "leaves out ['Melanoma']"),
        (("0", "benign"), ["benign"], "holds ['benign']"),
        (("mel", "nv", "x"), ["mel", "nv"], "holds ['nv']"),
    ],
)
def test_malignant_names_that_would_turn_labels_upside_down_are_refused(
    found: tuple[str, ...], malignant: list[str], named_in_error: str
) -> None:
    with pytest.raises(DataError, match=re.escape(named_in_error)):
        assign_classes(named(*found), malignant=malignant)


@pytest.mark.parametrize("name", ["NotMelanoma", "non_melanoma", "non-cancer", "NonCancer", "no_cancer"])
def test_names_of_what_is_no_melanoma_are_benign(name: str) -> None:
    assert is_malignant(name) is False


@pytest.mark.parametrize("names", [("0", "1"), ("yes", "no"), ("True", "False"), ("spots", "stripes")])
def test_names_that_say_nothing_are_asked_about_without_a_guess(names: tuple[str, str]) -> None:
    """Whoever follows a message must not end with labels upside down: it proposes no name as malignant."""
    with pytest.raises(DataError, match="Cannot tell") as raised:
        assign_classes(named("mel", *names))
    for name in names:
        assert f"--malignant {name}" not in str(raised.value)
        assert repr(name) in str(raised.value)


def test_malignant_name_that_no_image_has_is_an_error() -> None:
    with pytest.raises(DataError, match="mle"):
        assign_classes(named("mel", "nv"), malignant=["mle"])


@pytest.mark.parametrize("names", [(), ("nv", "bkl"), ("mel",)])
@pytest.mark.parametrize("kind", ["auto", "binary", "diagnosis"])
def test_one_side_only_is_an_error(names: tuple[str, ...], kind: str) -> None:
    with pytest.raises(DataError, match="Expected benign and malignant"):
        assign_classes(named(*names), kind)


def test_the_classes_of_published_datasets_are_all_known() -> None:
    published = "MEL NV BCC AKIEC AK BKL DF VASC SCC ACK NEV SEK".split()
    assert all(class_of(name) for name in published)
    assert len(known_names()) > 100

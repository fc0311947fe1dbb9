import pytest

from nevus.core.errors import DataError
from nevus.core.labels import Classes, normalise


def test_names_are_compared_without_case_spaces_and_hyphens() -> None:
    assert normalise(" Basal cell-Carcinoma ") == "basal_cell_carcinoma"


@pytest.mark.parametrize(
    ("names", "malignant"),
    [(("a",), ("a",)), (("a", "a"), ("a",)), (("a", "b"), ()), (("a", "b"), ("a", "b")), (("a", "b"), ("c",))],
)
def test_classes_need_a_benign_and_a_malignant_one(names: tuple[str, ...], malignant: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="Received"):
        Classes(names, malignant)

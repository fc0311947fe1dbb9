from pathlib import Path

import pytest

from nevus.core import shipped
from nevus.core.errors import ModelFileError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    # Where no run lies by chance under a name of the tests.
    monkeypatch.chdir(tmp_path)
    for name in ("small.onnx", "compact.onnx", "compact.md"):
        (tmp_path / name).touch()
    return tmp_path


def test_the_default_stands_first_and_cards_are_no_models(folder: Path) -> None:
    assert shipped.shipped_models() == {"compact": folder / "compact.onnx", "small": folder / "small.onnx"}
    assert shipped.find_model() == folder / "compact.onnx"


@pytest.mark.parametrize("path", ["a.onnx", "./compact", "runs/compact", "compact.onnx", Path("compact"), "a b"])
def test_all_but_a_plain_word_is_a_path(path: str | Path, folder: Path) -> None:
    assert shipped.find_model(path) == Path(path)


def test_a_name_that_no_model_has_is_an_error(folder: Path) -> None:
    with pytest.raises(ModelFileError, match=r"Did you mean 'small'\? Expected one of: compact, small\. Or name"):
        shipped.find_model("smal")


def test_the_folder_is_in_the_package() -> None:
    import nevus

    assert shipped.FOLDER.parent == Path(nevus.__file__).parent

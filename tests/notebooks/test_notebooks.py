"""The notebooks: they run as they are, define nothing, and are committed without outputs."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
named = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_of(path: Path) -> list[ast.AST]:
    cells = (cell.source for cell in read(path).cells if cell.cell_type == "code")
    # Of IPython's own commands there is one, which installs Nevus in Colab.
    lines = (line for cell in cells for line in cell.splitlines())
    return list(ast.walk(ast.parse("\n".join(line.replace("%pip", "pass  #") for line in lines))))


def run(path: Path, folder: Path) -> Any:
    """Executes a notebook in a folder of its own; a cell that raises fails the test with its traceback."""
    notebook = read(path)
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return notebook


def printed(notebook: Any) -> str:
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")


def test_both_lessons_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["evaluation", "melanoma"]


@named
def test_committed_without_outputs(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert cell.outputs == [], f"{path.name}: clear all outputs before committing"
            assert cell.execution_count is None, f"{path.name}: clear all outputs before committing"


@named
def test_defines_nothing_and_uses_public_names_alone(path: Path) -> None:
    for node in code_of(path):
        assert not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda))
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")
        if isinstance(node, ast.ImportFrom):
            assert not any(alias.name.startswith("_") for alias in node.names)
            assert not (node.module or "").startswith("nevus.cli")


@named
def test_says_at_both_ends_that_it_is_no_medical_device(path: Path) -> None:
    cells = read(path).cells
    for cell in (cells[0], cells[-1]):
        assert "For research and education only. Not a medical device" in cell.source


def test_the_evaluation_lesson_finds_the_truth_it_simulated(tmp_path: Path) -> None:
    text = printed(run(FOLDER / "evaluation.ipynb", tmp_path))
    temperature = float(text.split("temperature ")[1].split()[0])
    assert temperature == pytest.approx(2.0, abs=0.3)
    assert not any(isinstance(node, ast.Import) and "tensorflow" in ast.dump(node) for node in code_of(NOTEBOOKS[0]))


def test_the_melanoma_lesson_goes_from_images_to_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.setenv("NEVUS_LESSON_IMAGES", "160")
    monkeypatch.setenv("NEVUS_LESSON_EPOCHS", "2")
    text = printed(run(FOLDER / "melanoma.ipynb", tmp_path))
    lesson = tmp_path / "runs" / "lesson"
    assert (lesson / "compact" / "model.onnx").exists()
    assert (lesson / "compact" / "report.html").exists()
    assert float(text.split("share of the largest heat: ")[1].split()[0]) < 1e-3
    assert "the risk where 1 % are malignant: " in text

"""The public names of `nevus` are few, listed, documented and importable without a training library."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import nevus
from nevus.cli.main import find_command
from nevus.core.errors import ConfigError, NevusError, RunError


def test_all_lists_the_public_names() -> None:
    assert nevus.__all__ == [
        *("Config", "Dataset", "NevusError", "Prediction", "Predictor", "Run", "__version__"),
        *("adapt", "audit", "compare", "demo", "evaluate", "explain", "export", "load", "prepare"),
        *("probe", "report", "run", "split", "stress", "train", "validate"),
    ]


def test_each_function_that_makes_a_model_has_a_command_of_its_name() -> None:
    functions = {name for name in nevus.__all__ if inspect.isfunction(getattr(nevus, name))} - {"load"}
    assert all(find_command(name).name == name for name in functions)


@pytest.mark.parametrize("name", [name for name in nevus.__all__ if name != "__version__"])
def test_public_names_and_their_methods_are_documented(name: str) -> None:
    member = getattr(nevus, name)
    assert inspect.getdoc(member)
    for method_name, method in inspect.getmembers(member, inspect.isfunction):
        if not method_name.startswith("_"):
            assert inspect.getdoc(method), f"{name}.{method_name}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'diagnose'"):
        _ = nevus.diagnose


def test_importing_nevus_loads_neither_onnxruntime_nor_tensorflow() -> None:
    code = "import sys, nevus; print([n for n in ('onnxruntime', 'tensorflow', 'PIL') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module",
    [
        "nevus.serve.predictor",
        "nevus.assess.evaluation.evaluate",
        "nevus.assess.evaluation.validation",
        "nevus.data.prepare",
        "nevus.pipeline.run",
        "nevus.pipeline.validating",
        "nevus.pipeline.adapting",
    ],
)
def test_what_comes_before_and_after_training_never_loads_tensorflow(module: str) -> None:
    if module.startswith("nevus.assess"):
        pytest.importorskip("sklearn")
    code = f"import sys, {module}; print([n for n in ('tensorflow', 'keras', 'onnx') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "stage", ["split", "audit", "train", "evaluate", "export", "report", "compare", "prepare", "run"]
)
def test_stages_take_folders_by_name_and_say_what_they_expect(stage: str, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    out = [tmp_path / "out"] if stage in ("train", "prepare", "run") else []
    function = getattr(nevus, stage)
    if stage not in ("prepare", "run", "compare"):
        with pytest.raises(NevusError, match=r"\.(json|csv) does not exist"):
            function(str(tmp_path / "absent"), *out)
    if stage != "compare":
        with pytest.raises(ConfigError, match=r"as a path. Received: NoneType"):
            function(None, *out)
    else:
        with pytest.raises(RunError, match="two"):
            function(str(tmp_path / "absent"))
    assert not list(tmp_path.iterdir())

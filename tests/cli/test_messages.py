"""The library logs; the command line shows it, and a program in Python sees what it asks for."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

import nevus
from nevus.cli.main import main
from nevus.data import phantom


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom.generate(tmp_path_factory.mktemp("few") / "images", num_images=4, image_size=16)


def test_a_command_says_which_stage_begins(few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(few), "--out", str(tmp_path / "dataset"), "--image-size", "16"]) == 0
    assert capsys.readouterr().err == f"== Preparing {few}\n"
    logger = logging.getLogger("nevus")
    assert (logger.level, logger.propagate) == (logging.NOTSET, True)


def test_from_python_nothing_is_said_unless_it_is_asked_for(few: Path, tmp_path: Path) -> None:
    code = (
        "import nevus, sys; dataset = nevus.prepare(sys.argv[1], sys.argv[2], nevus.Config(image_size=16)); "
        "import logging; logging.getLogger('nevus').warning('silent')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, few, tmp_path / "dataset"], capture_output=True, text=True, check=True
    )
    assert done.stderr == done.stdout == ""


def test_from_python_stages_and_warnings_are_records(
    few: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "nevus"):
        nevus.prepare(few, tmp_path / "dataset", nevus.Config(image_size=16))
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("nevus.pipeline.stages", f"Preparing {few}")
    ]

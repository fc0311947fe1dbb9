import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nevus.cli.main import main
from nevus.core.extras import EXTRAS
from nevus.data import phantom


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_lists_the_commands_and_the_disclaimer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for command in "run demo prepare split train evaluate export report predict info models".split():
        assert f"    {command} " in text
    assert "Not a medical device" in " ".join(text.split())


@pytest.mark.parametrize("arguments", [[], ["trian"], ["predict"], ["train", "x", "--epochs", "many"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("nevus")
    assert "--help'." in error
    assert error.count("\n") <= 5


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["run", "x", "--epochs"],
            ["nevus run: argument --epochs: expected one argument.", "  --epochs EPOCHS", "See 'nevus run --help'."],
        ),
        (
            ["data", "fetch", "ham10000"],
            ["nevus data fetch: the following arguments are required: DIR.", "  DIR  folder", "See 'nevus data fetch"],
        ),
    ],
    ids=lambda part: " ".join(part[:2]),
)
def test_a_missing_argument_is_shown_with_its_help(
    arguments: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    found = capsys.readouterr().err.splitlines()
    for line, start in zip([found[0], found[1], found[-1]], lines, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "x", "--epochs", "many"],
            "nevus run: argument --epochs: expected a whole number. Received: 'many'. See 'nevus run --help'.",
        ),
        (["export", "run", "--format", "onxx"], "nevus export: argument --format: expected one of onnx, onnx-int8,"),
    ],
    ids=lambda part: " ".join(part[:2]),
)
def test_a_wrong_value_is_an_error_of_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


def test_what_follows_two_dashes_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "a.jpg", "--json", "--", "-b.jpg", "c.jpg"]) == 1
    files = [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]
    assert files == ["a.jpg", "-b.jpg", "c.jpg"]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["trian"], "train"),
        (["prdict", "a.jpg"], "predict"),
        (["run", "images", "--epoch-s", "3"], "--epochs"),
        (["run", "images", "--lr", "0.1"], "--learning-rate"),
        (["data", "fetch", "ham10000", "x", "--accept-license"], "--accept-licence"),
        (["audit", "images", "--fail-on", "eror"], "error"),
    ],
)
def test_what_an_unknown_word_may_have_meant_is_said(
    arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert f"Did you mean '{meant}'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", ""],
        ["run", ""],
        ["run", "images", "--out", "", "--overwrite"],
        ["data", "fetch", "ham10000", ""],
        ["data", "fetch", "", "folder"],
        ["predict", "--model", "", "photo.jpg"],
        ["info", ""],
        ["serve", ""],
        ["web", "", "folder"],
    ],
)
def test_an_empty_argument_is_no_folder(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert re.search("expected a (path|name). Received nothing", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hlp"], "nevus: unknown option or argument: --hlp. Did you mean '--help'? See 'nevus --help'."),
        (["--debug", "run", "x"], "nevus: unknown option or argument: --debug. It comes after the command. See "),
        (["data", "--json", "list"], "nevus data: unknown option or argument: --json. It comes after the command. See"),
        (["--", "run"], "nevus: unknown option or argument: --. See 'nevus --help'."),
    ],
)
def test_an_option_before_the_command_is_an_error_of_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_help_loads_neither_tensorflow_nor_onnxruntime_nor_scikit_learn() -> None:
    done = run_python(
        "import sys; from nevus.cli.main import build_parser; build_parser().format_help(); "
        "print([name for name in ('tensorflow', 'onnxruntime', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere", "--out", "x"], "nevus prepare"),
        (["split", "nowhere"], "nevus prepare"),
        (["evaluate", "nowhere"], "nevus train"),
        (["export", "nowhere"], "nevus train"),
        (["report", "nowhere"], "nevus"),
        (["run", "nowhere", "--out", "x"], "nowhere"),
        (["predict", "nowhere.onnx", "a.jpg"], "nowhere.onnx"),
        (["info", "nowhere.onnx"], "nowhere.onnx"),
        (["prepare", "nowhere", "--out", "x", "--image-size", "3"], "--image-size: expected 16 to 1024"),
    ],
)
def test_errors_are_one_line_and_leave_nothing_behind(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if arguments[0] in ("train", "export"):
        pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    captured = capsys.readouterr()
    error = captured.err.splitlines()[-1]
    assert error.startswith("nevus: ")
    assert message in error
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not list(tmp_path.rglob("*.*")), "files were left behind"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    from nevus.core.errors import NevusError

    with pytest.raises(NevusError):
        main(["split", str(tmp_path), "--debug"])


def test_a_package_that_is_not_installed_is_named_with_the_command_that_installs_it() -> None:
    done = run_python(
        "import sys; sys.modules['onnxruntime'] = None; from nevus.cli.main import main; "
        "sys.exit(main(['info', 'model.onnx']))"
    )
    assert done.returncode == 1
    assert "needs the package 'onnxruntime'" in done.stderr
    assert "pip install ." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["demo", "run nowhere"])
def test_a_missing_package_is_named_before_anything_is_drawn_or_decoded(command: str, tmp_path: Path) -> None:
    done = run_python(
        "import sys; sys.modules['sklearn'] = sys.modules['keras'] = None; from nevus.cli.main import main; "
        f"sys.exit(main('{command} --out {tmp_path / 'run'}'.split()))"
    )
    assert done.returncode == 1
    assert done.stderr.startswith("nevus: this needs the package '")
    assert "pip install '.[train]'" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_reference_of_the_command_line_is_current() -> None:
    script = Path(__file__).parents[2] / "scripts" / "make_cli_docs.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_package_is_of_the_extra_that_names_it() -> None:
    """The names of imports are those of packages, but for a few."""
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    extras = declared["project"]["optional-dependencies"]
    distributions = {
        "sklearn": "scikit-learn",
        "cv2": "opencv-python-headless",
        "ai_edge_litert": "ai-edge-litert",
        "python_multipart": "python-multipart",
        "pillow_heif": "pillow-heif",
        "prometheus_client": "prometheus-client",
        # What others of the same extra bring with them.
        **{"markupsafe": "jinja2", "starlette": "fastapi", "pydantic": "fastapi"},
    }
    for extra, packages in EXTRAS.items():
        names = {re.split(r"[<>=\[]", requirement)[0] for requirement in extras[extra]}
        assert {distributions.get(package, package) for package in packages} | {"nevus"} == names | {"nevus"}, extra


def run_in_shell(redirection: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Runs `nevus` with a redirection of the shell, such as `>&-`, which closes its standard output."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "nevus.cli.main", *arguments]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, check=False)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    phantom.generate(tmp_path / "images", num_images=4, image_size=128, seed=3)
    path = tmp_path / "läsion 病.png"
    shutil.copy(min(tmp_path.glob("images/*/*.png")), path)
    return path


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error_and_no_file_gets_what_was_meant_for_them(
    redirection: str, picture: Path, tmp_path: Path
) -> None:
    table = tmp_path / "risks.csv"
    bad = tmp_path / "absent.png"
    done = run_in_shell(redirection, "predict", "--no-check", str(bad), str(picture), "--csv", str(table))
    assert done.returncode == 1
    lines = table.read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in lines] == ["file", str(bad), str(picture)]
    said = b"" if "2>&-" in redirection else b"nevus: images without an answer: 1."
    assert done.stderr.startswith(said)
    assert b"Traceback" not in done.stderr
    assert b"AttributeError" not in done.stderr


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), (["info", "absent.onnx"], 1), (["trian"], 2)])
def test_the_exit_status_is_the_same_with_closed_streams(arguments: list[str], status: int) -> None:
    assert run_in_shell(">&- 2>&-", *arguments).returncode == status


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize(
    ("redirection", "arguments", "said"),
    [
        ("> /dev/full", [], b"nevus: standard output: No space left on device.\n"),
        ("> /dev/full", ["--csv", "-"], b"nevus: standard output: No space left on device.\n"),
        ("", ["--csv", "/dev/full"], b"nevus: /dev/full: No space left on device.\n"),
    ],
)
def test_a_full_disk_is_one_line_with_the_file(
    redirection: str, arguments: list[str], said: bytes, picture: Path
) -> None:
    done = run_in_shell(redirection, "predict", "--no-check", str(picture), *arguments)
    assert (done.returncode, done.stderr) == (1, said)


def test_a_closed_descriptor_is_no_file_of_ours_and_is_open_to_processes_that_are_started() -> None:
    code = """
import subprocess, sys
from nevus.core.terminal import prepare_streams
prepare_streams()
with open(sys.argv[1], "w") as file:
    assert file.fileno() > 2
subprocess.run([sys.executable, "-c", "import os; os.fstat(1)"], check=True)
print("nobody reads this")
"""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", code, os.devnull], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    ("encoding", "output", "name"),
    [
        ("ascii", ["--csv", "-"], rb"l\xe4sion \u75c5.png"),
        ("latin-1", [], "läsion ".encode("latin-1") + rb"\u75c5.png"),
        ("utf-8", ["--csv", "-"], "läsion 病.png".encode()),
    ],
)
def test_a_name_that_the_encoding_lacks_is_escaped_and_the_list_goes_on(
    encoding: str, output: list[str], name: bytes, picture: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.png"
    shutil.copy(picture, plain)
    done = run_in_shell("", "predict", "--no-check", str(picture), str(plain), *output, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    first, second = done.stdout.splitlines()[-2:]
    assert name in first
    assert b"plain.png" in second

import csv
import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nevus
from nevus.cli.main import main
from nevus.core.prevalence import rebase
from nevus.core.runs import Run
from nevus.data import phantom
from nevus.serve.image_files import find_images


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the shipped models."""
    monkeypatch.setattr("nevus.core.shipped.FOLDER", tmp_path)
    return tmp_path


def images_of(run: Run) -> Path:
    return Path(run.dataset_info.sources[0].root) / "malignant"


def test_table_csv_json_and_python_agree(finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, images = str(finished_run.model_onnx), images_of(finished_run)
    table = tmp_path / "risks.csv"
    assert main(["predict", "--no-check", model, str(images), "--csv", str(table)]) == 0
    assert main(["predict", "--no-check", model, str(images), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    predictions = nevus.load(model).predict(sorted(images.glob("*.png")), check=False)
    assert [row["file"] for row in rows] == [record["file"] for record in records] == [p.source for p in predictions]
    for row, record, prediction in zip(rows, records, predictions, strict=True):
        assert float(row["risk"]) == record["risk"] == prediction.risk
        assert row["decision"] == record["decision"] == ("malignant" if prediction.decision else "benign")
    assert main(["predict", "--no-check", model, str(images)]) == 0
    out = capsys.readouterr().out
    assert "Not a medical device" in out
    assert sum(".png" in line for line in out.splitlines()) == len(rows)
    assert main(["predict", "--no-check", model, str(images), "--csv", "-"]) == 0
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == rows


def test_csv_goes_into_a_pipe_and_through_a_link(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = min(images_of(finished_run).glob("*.png"))
    pipe, link, target = (tmp_path / name for name in ("pipe", "link.csv", "target.csv"))
    os.mkfifo(pipe)
    target.write_text("old")
    link.symlink_to("target.csv")
    predict = ["predict", "--no-check", str(finished_run.model_onnx), str(image), "--csv"]
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        assert main([*predict, str(pipe)]) == 0
        piped = read.result(timeout=10)
    assert main([*predict, str(link)]) == 0
    assert main([*predict, "-"]) == 0
    assert piped == target.read_text() == capsys.readouterr().out
    assert piped.count("\n") == 2
    assert pipe.is_fifo()
    assert link.is_symlink()


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="the system has no file that cannot be read")
def test_an_image_that_the_machine_cannot_read_is_counted_apart(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "unreadable.png").symlink_to("/proc/self/mem")
    (tmp_path / "damaged.png").write_bytes(b"damaged")
    assert main(["predict", str(finished_run.model_onnx), str(tmp_path), "--json"]) == 1
    captured = capsys.readouterr()
    damaged, unreadable = map(json.loads, captured.out.splitlines())
    assert (damaged["error_code"], unreadable["error_code"]) == ("not_readable", "unavailable")
    assert unreadable["error"] == "Input/output error"
    assert (
        "images without an answer: 2. 1 could not be used. 1 could not be read because of a failure of the machine"
        in captured.err
    )


def test_bad_file_is_named_and_the_others_are_done(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    good = next(images_of(finished_run).glob("*.png"))
    assert (
        main(["predict", "--no-check", str(finished_run.model_onnx), str(bad), str(tmp_path / "none.jpg"), str(good)])
        == 1
    )
    captured = capsys.readouterr()
    assert "bad.jpg: not an image" in captured.out
    assert "none.jpg: no such file" in captured.out
    assert good.name in captured.out
    assert captured.err.strip() == "nevus: images without an answer: 2. 2 could not be used. The others were processed."


def test_images_that_the_check_refuses_are_counted_and_answered_on_request(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, table = str(finished_run.model_onnx), tmp_path / "risks.csv"
    paths = [tmp_path / name for name in ("lesion.png", "ramp.png", "blue.png")]
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    phantom.generate(tmp_path / "phantoms", num_images=4, image_size=128, seed=3)
    lesion = np.asarray(Image.open(next(iter(find_images([tmp_path / "phantoms"])))).convert("RGB"))
    pictures = lesion, np.broadcast_to(ramp[:, None, None], (128, 128, 3)), np.full((128, 128, 3), 90)
    for path, pixels in zip(paths, pictures, strict=True):
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    images = list(map(str, paths))
    assert main(["predict", model, *images, "--csv", str(table)]) == 1
    assert capsys.readouterr().err.strip() == (
        "nevus: images without an answer: 2. 1 could not be used. 1 refused by the check of images (--no-check gives "
        "a risk all the same). The others were processed."
    )
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["error_code"] for row in rows] == ["", rows[1]["error_code"], "blank"]
    assert rows[1]["error_code"] in ("too_blurred", "not_dermoscopic")
    assert [row["risk"] == "" for row in rows] == [False, True, True]
    assert main(["predict", model, *images]) == 1
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[-2:]] == ["refused", "error"]
    assert main(["predict", model, "--no-check", *images, "--json"]) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["error_code"] for record in records] == [None, None, "blank"]
    assert records[0]["risk"] == pytest.approx(float(rows[0]["risk"]), abs=1e-6)


def test_operating_points_change_decisions_and_unknown_ones_are_errors(
    finished_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    model, image = str(finished_run.model_onnx), str(next(images_of(finished_run).glob("*.png")))
    assert main(["predict", "--no-check", model, image, "--operating-point", "sensitivity-98", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["operating_point"] == "sensitivity-98"
    assert main(["predict", "--no-check", model, image, "--operating-point", "sensitivity-12"]) == 1
    assert "Expected one of: best-f1, youden" in capsys.readouterr().err


def test_risks_are_rebased_to_a_prevalence(finished_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    model, image = str(finished_run.model_onnx), str(next(images_of(finished_run).glob("*.png")))
    assert main(["predict", "--no-check", model, image, "--prevalence", "0.0176", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["triage"] in ("low", "uncertain", "high")
    spec = nevus.load(model).spec
    assert record["risk_at_prevalence"] == rebase(record["risk"], assumed=spec.assumed_prevalence, prevalence=0.0176)
    assert main(["predict", "--no-check", model, image, "--prevalence", "1.76"]) == 1
    assert "Expected a number between 0 and 1, such as 0.0176" in capsys.readouterr().err


def test_options_may_stand_between_model_and_images(finished_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    model, first, second = (str(finished_run.model_onnx), *map(str, sorted(images_of(finished_run).glob("*.png"))[:2]))
    for words in ([model, "--json", first, second], [model, first, "--json", second], ["--json", first, second]):
        arguments = words if model in words else [*words, "--model", model]
        assert main(["predict", "--no-check", *arguments]) == 0
        assert [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()] == [first, second]
    with pytest.raises(SystemExit):
        main(["predict", "--no-check", model, first, "--jsn", second])
    assert "unknown option or argument: --jsn" in capsys.readouterr().err


def test_a_shipped_model_answers_by_its_name_and_by_default(
    finished_run: Run, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(finished_run.model_onnx, shipped / "compact.onnx")
    image = str(next(images_of(finished_run).glob("*.png")))
    answers = []
    for arguments in ([image], ["--model", "compact", image], [str(finished_run.model_onnx), image]):
        assert main(["predict", "--no-check", *arguments, "--json"]) == 0
        answers.append(capsys.readouterr().out)
    assert len(set(answers)) == 1
    assert nevus.load().predict(image, check=False) == nevus.load("compact").predict(image, check=False)
    assert main(["info"]) == main(["info", "compact"]) == 0
    assert main(["predict", "--no-check", "--model", "compct", image]) == 1
    assert "Did you mean 'compact'?" in capsys.readouterr().err


def test_without_a_shipped_model_the_default_is_a_clear_error(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["predict", "photo.jpg"], ["info"], ["predict", "--model", "compact", "photo.jpg"]):
        assert main(arguments) == 1
        assert "Name a file: a model.onnx" in capsys.readouterr().err
    assert main(["models"]) == 0
    assert capsys.readouterr().out == "This copy of Nevus has no shipped models.\n"


def test_a_model_without_images_is_an_error_that_says_so(finished_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--no-check", str(finished_run.model_onnx)]) == 1
    assert "Expected images too" in capsys.readouterr().err


def test_a_run_is_a_model_wherever_one_is_named(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, folder = str(min(images_of(finished_run).glob("*.png"))), str(finished_run.directory)
    answers = []
    for words in ([str(finished_run.model_onnx), image], [folder, image], ["--model", folder, image]):
        assert main(["predict", "--no-check", "--json", *words]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] == answers[2]
    assert nevus.load(folder).predict(image, check=False).risk == json.loads(answers[0])["risk"]
    assert main(["info", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["image_size"] == 32
    (tmp_path / "run.json").write_text("{}")
    assert main(["predict", "--no-check", str(tmp_path), image]) == 1
    assert "model.onnx does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.tflite", "model.answers.keras", "MODEL.TFLITE"])
def test_a_model_in_another_format_is_not_taken_for_an_image(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).touch()
    assert main(["predict", "--no-check", str(tmp_path / name), "photo.jpg"]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "is not an ONNX model" in err


def test_paths_that_are_too_long_or_folders_do_not_stop_the_others(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, model = str(min(images_of(finished_run).glob("*.png"))), str(finished_run.model_onnx)
    assert main(["predict", "--no-check", model, "x" * 300 + ".jpg", image]) == 1
    assert Path(image).name in capsys.readouterr().out
    for target in (str(tmp_path), "."):
        assert main(["predict", "--no-check", model, image, "--csv", target]) == 1
        assert f"{target}: Is a directory" in capsys.readouterr().err


def test_models_are_listed_with_what_their_files_say(
    finished_run: Run, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("another", "compact"):
        shutil.copyfile(finished_run.model_onnx, shipped / f"{name}.onnx")
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert out.index("compact (default)") < out.index("another")
    for text in ("94,273 parameters", "ROC-AUC ", "malignant (malignant)", "licence", "medical device"):
        assert text in out
    assert main(["models", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [(record["name"], record["default"]) for record in records] == [("compact", True), ("another", False)]
    assert all(record["bytes"] == Path(record["path"]).stat().st_size for record in records)


def test_the_licence_of_a_model_is_what_is_stated_and_else_a_hint(
    run_copy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(run_copy.model_onnx)]) == 0
    assert "licence      not stated; mind the licence of the training images: none named" in capsys.readouterr().out
    assert main(["export", str(run_copy.directory), "--licence", "CC-BY-NC-4.0"]) == 0
    assert main(["report", str(run_copy.directory)]) == 0
    capsys.readouterr()
    assert main(["info", str(run_copy.model_onnx)]) == 0
    assert "licence      CC-BY-NC-4.0" in capsys.readouterr().out
    card = run_copy.model_card_md.read_text()
    assert 'license_name: "CC-BY-NC-4.0"' in card
    assert "**License:** CC-BY-NC-4.0" in card


@pytest.mark.parametrize("licence", ["", "two\nlines", "form\ffeed"])
def test_a_licence_is_a_name_in_one_line(licence: str, run_copy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = run_copy.model_onnx.read_bytes(), run_copy.config_json.read_bytes()
    assert main(["export", str(run_copy.directory), "--licence", licence]) == 1
    assert "--licence: expected a name in one line" in capsys.readouterr().err
    assert (run_copy.model_onnx.read_bytes(), run_copy.config_json.read_bytes()) == before


def test_a_format_that_is_refused_does_not_keep_the_others_from_being_tried(
    run_copy: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nevus.learn.export import export

    made = export.FORMATS["onnx-int8"]
    none_at_all = dataclasses.replace(made.limits, probability=0.0)
    monkeypatch.setitem(export.FORMATS, "onnx-int8", dataclasses.replace(made, limits=none_at_all))
    run_copy.model_onnx.unlink()
    assert main(["export", str(run_copy.directory), "--format", "onnx-int8", "onnx"]) == 1
    out, err = capsys.readouterr()
    assert "onnx-int8: " in err
    assert "model.onnx" in out
    assert "int8" not in out
    assert not run_copy.exported("onnx-int8").exists()
    assert run_copy.model_onnx.exists()


def test_info_shows_the_card_and_json_the_description(finished_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(finished_run.model_onnx)]) == 0
    out = capsys.readouterr().out
    for text in ("94,273 parameters", "malignant (malignant)", "* sensitivity-95", "Intended use", "medical device"):
        assert text in out
    assert main(["info", str(finished_run.model_onnx), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["image_size"] == 32


def test_prediction_loads_no_training_library_and_no_other_command(finished_run: Run) -> None:
    image = next(images_of(finished_run).glob("*.png"))
    code = (
        "import sys; from nevus.cli.main import main; "
        f"status = main(['predict', '--no-check', {str(finished_run.model_onnx)!r}, {str(image)!r}]); "
        "unwanted = 'tensorflow keras onnx sklearn matplotlib tqdm nevus.cli.stages nevus.core.config'.split(); "
        "print([n for n in unwanted if n in sys.modules]); "
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


def test_output_cut_off_by_its_reader_is_no_error(finished_run: Run) -> None:
    predict = f"{sys.executable} -m nevus.cli.main predict --no-check"
    command = f"{predict} {finished_run.model_onnx} {images_of(finished_run)} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import nevus
from nevus.cli.main import main
from nevus.core.prevalence import rebase
from nevus.core.runs import Run


def images_of(run: Run) -> Path:
    return Path(run.dataset_info.sources[0].root) / "malignant"


def test_table_csv_json_and_python_agree(finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, images = str(finished_run.model_onnx), images_of(finished_run)
    table = tmp_path / "risks.csv"
    assert main(["predict", model, str(images), "--csv", str(table)]) == 0
    assert main(["predict", model, str(images), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    predictions = nevus.load(model).predict(sorted(images.glob("*.png")))
    assert [row["file"] for row in rows] == [record["file"] for record in records] == [p.source for p in predictions]
    for row, record, prediction in zip(rows, records, predictions, strict=True):
        assert float(row["risk"]) == record["risk"] == prediction.risk
        assert row["decision"] == record["decision"] == ("malignant" if prediction.decision else "benign")
    assert main(["predict", model, str(images)]) == 0
    out = capsys.readouterr().out
    assert "Not a medical device" in out
    assert sum(".png" in line for line in out.splitlines()) == len(rows)
    assert main(["predict", model, str(images), "--csv", "-"]) == 0
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == rows


def test_bad_file_is_named_and_the_others_are_done(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    good = next(images_of(finished_run).glob("*.png"))
    assert main(["predict", str(finished_run.model_onnx), str(bad), str(tmp_path / "none.jpg"), str(good)]) == 1
    captured = capsys.readouterr()
    assert "bad.jpg: not an image" in captured.out
    assert "none.jpg: no such file" in captured.out
    assert good.name in captured.out
    assert captured.err.strip() == "nevus: 2 of the images could not be used; the others are done."


def test_operating_points_change_decisions_and_unknown_ones_are_errors(
    finished_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    model, image = str(finished_run.model_onnx), str(next(images_of(finished_run).glob("*.png")))
    assert main(["predict", model, image, "--operating-point", "sensitivity-98", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["operating_point"] == "sensitivity-98"
    assert main(["predict", model, image, "--operating-point", "sensitivity-12"]) == 1
    assert "Expected one of: best-f1, youden" in capsys.readouterr().err


def test_risks_are_rebased_to_a_prevalence(finished_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    model, image = str(finished_run.model_onnx), str(next(images_of(finished_run).glob("*.png")))
    assert main(["predict", model, image, "--prevalence", "0.0176", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["triage"] in ("low", "uncertain", "high")
    spec = nevus.load(model).spec
    assert record["risk_at_prevalence"] == rebase(record["risk"], assumed=spec.assumed_prevalence, prevalence=0.0176)
    assert main(["predict", model, image, "--prevalence", "1.76"]) == 1
    assert "Expected a number between 0 and 1, such as 0.0176" in capsys.readouterr().err


def test_info_shows_the_card_and_json_the_metadata(finished_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(finished_run.model_onnx)]) == 0
    out = capsys.readouterr().out
    for text in ("94,273 parameters", "malignant (malignant)", "* sensitivity-95", "Intended use", "medical device"):
        assert text in out
    assert main(["info", str(finished_run.model_onnx), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["image_size"] == 32


def test_prediction_loads_no_training_library(finished_run: Run) -> None:
    image = next(images_of(finished_run).glob("*.png"))
    code = (
        "import sys; from nevus.cli.main import main; "
        f"status = main(['predict', {str(finished_run.model_onnx)!r}, {str(image)!r}]); "
        "print([n for n in ('tensorflow', 'keras', 'onnx', 'sklearn', 'matplotlib', 'tqdm') if n in sys.modules]); "
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


def test_output_cut_off_by_its_reader_is_no_error(finished_run: Run) -> None:
    command = (
        f"{sys.executable} -m nevus.cli.main predict {finished_run.model_onnx} {images_of(finished_run)} | head -1"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""

"""`nevus run --leave-source-out` from folders of images to a model of all sources, through the command line."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nevus.cli.main import main
from nevus.core.chosen import read_chosen
from nevus.core.predictions import read_predictions
from nevus.core.reuse import clear
from nevus.core.runs import OUT_OF_SOURCE, Run

pytest.importorskip("tensorflow")

NUM_SMALL, NUM_COPIES = 10, 6


@pytest.fixture(scope="module")
def folders(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two clinics and one of ten images; some images of the first are in the second too."""
    root = tmp_path_factory.mktemp("sources")
    for label in ("benign", "malignant"):
        for number, path in enumerate(sorted(phantoms.glob(f"{label}/*.png"))):
            clinic = "few" if number < NUM_SMALL // 2 else ("north", "south")[number % 2]
            target = root / clinic / label / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for number, path in enumerate(sorted(root.glob("north/benign/*.png"))[:NUM_COPIES]):
        shutil.copyfile(path, root / "south" / "benign" / f"copy_{number}.png")
    return [root / name for name in ("north", "south", "few")]


@pytest.fixture(scope="module")
def finished(folders: list[Path], options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run, its last source left out alone, as on another machine; tests must leave it as it is."""
    run = Run(tmp_path_factory.mktemp("runs") / "sources")
    assert leave_out(run, folders, options, "--source", "south") == 0
    north, south = run.left_out.values()
    assert not any(path.exists() for path in (north.directory / "run.json", run.model_keras))
    assert "Not left out yet: north." in run.sources_html.read_text(encoding="utf-8")
    trained = south.model_keras.stat().st_mtime_ns
    assert leave_out(run, folders, options, "--resume") == 0
    assert south.model_keras.stat().st_mtime_ns == trained
    return run


def leave_out(run: Run, images: list[Path], options: list[str], *more: str) -> int:
    return main(["run", *map(str, images), "--out", str(run.directory), "--leave-source-out", *options, *more])


def test_each_source_is_tested_whole_by_a_model_that_saw_no_image_of_its_groups(finished: Run) -> None:
    assert list(finished.left_out) == ["north", "south"]
    everything = finished.dataset.rows
    for name, without in finished.left_out.items():
        rows = without.dataset.rows
        assert {row.image_id for row in rows if row.split == "test"} == {
            row.image_id for row in everything if row.source == name
        }
        trained = [row for row in rows if row.split in ("train", "val")]
        assert name not in {row.source for row in trained}
        assert not {row.group for row in trained} & {row.group for row in rows if row.split == "test"}
        split_of = {row.image_id: row.split for row in everything}
        assert all(row.split == split_of[row.image_id] for row in trained)
    assert without.report_html.exists()


def test_copies_that_left_the_training_are_counted(finished: Run) -> None:
    result = json.loads(finished.sources_json.read_text())
    for one in result["sources"]:
        rows = finished.dataset.rows
        groups = {row.group for row in rows if row.source == one["name"]}
        others = [row for row in rows if row.source != one["name"] and row.group in groups]
        assert one["num_copies"] == sum(row.split in ("train", "val") for row in others)
    assert sum(one["num_copies"] for one in result["sources"]) > 0


def test_a_source_of_ten_images_is_trained_on_and_never_left_out(finished: Run) -> None:
    result = json.loads(finished.sources_json.read_text())
    (about, few) = result["warnings"]
    assert about.startswith("Source 'few' has 10 images, 5 malignant and 5 benign. Expected 10 of each or more")
    assert "2 sources were left out. A prediction interval" in few
    assert all(any(row.source == "few" for row in one.dataset.rows_of("train")) for one in finished.left_out.values())


def test_risks_of_sources_left_out_are_those_of_their_models_with_class_weights_undone(finished: Run) -> None:
    classes = finished.dataset_info.classes
    pooled = read_predictions(finished.predictions_csv(OUT_OF_SOURCE), classes)
    weighted = []
    for source, without in finished.left_out.items():
        metrics = json.loads(without.metrics_json.read_text())
        tested = read_predictions(without.predictions_csv("test"), classes, metrics["class_weights"])
        of_source = np.array(pooled.columns["left_out_source"]) == source
        assert pooled.where(of_source).image_ids == tested.image_ids
        np.testing.assert_allclose(pooled.risk()[of_source], tested.risk(metrics["temperature"]), rtol=1e-9)
        weighted.append(tested.log_weights is not None)
    assert any(weighted)


def test_a_teacher_has_not_seen_the_source_that_is_left_out_either(
    finished: Run, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, taught = [finished.dataset.directory], Run(tmp_path / "taught")
    teacher = ["--teacher", str(finished.directory)]
    assert leave_out(taught, images, options, *teacher, "--source", "north") == 0
    described = taught.left_out["north"].recorded("training")["teacher"]
    assert described == {
        "run": "without-north",
        "sha256": hashlib.sha256(finished.left_out["north"].model_keras.read_bytes()).hexdigest(),
    }
    # A teacher that may have seen the source, or that is none, is refused before anything is made.
    other = tmp_path / "other"
    for wrong, said in ((finished.left_out["north"].directory, "without the source 'north'"), (tmp_path, "run.json")):
        assert leave_out(Run(other), images, options, "--teacher", str(wrong)) == 1
        assert said in capsys.readouterr().err
        assert not (other / "run.json").exists()


def test_thresholds_of_the_final_model_hold_on_average_over_sources_left_out(finished: Run) -> None:
    chosen = read_chosen(finished.operating_points_json, "")
    rows = list(csv.DictReader(finished.predictions_csv(OUT_OF_SOURCE).open()))
    assert len(rows) == sum(len(one.dataset.rows_of("test")) for one in finished.left_out.values())
    for point in chosen.operating_points:
        assert point.fitted_on == OUT_OF_SOURCE
        assert "sources left out of training, each source weighing the same" in point.rule
        shares = []
        for source in ("north", "south"):
            gaps = [
                float(row["logit_malignant"]) - float(row["logit_benign"])
                for row in rows
                if row["left_out_source"] == source and row["label"] == "malignant"
            ]
            shares.append(np.mean(1 / (1 + np.exp(-np.array(gaps))) >= point.threshold))
        assert point.sensitivity.value == pytest.approx(np.mean(shares))
        if point.name.startswith("sensitivity-"):
            assert np.mean(shares) >= int(point.name[-2:]) / 100


def test_the_run_is_done_and_its_model_is_exported(finished: Run) -> None:
    assert finished.record["status"] == "done"
    assert finished.model_onnx.exists()
    assert finished.report_html.exists()
    page = finished.sources_html.read_text(encoding="utf-8")
    assert "Not left out yet" not in page
    assert all(f'<a href="without-{name}/report.html">{name}</a>' in page for name in ("north", "south"))
    assert '<a href="report.html">Its report</a>' in page
    card = finished.model_card_md.read_text(encoding="utf-8")
    assert "## What to expect\n\n- **At a source that it has not seen:** north (" in card


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--resume", "--source", "few"], "--source: expected one of the sources left out: north, south. Received: 'f"),
        (["--resume", "--epochs", "3"], "epochs was 2, now 3"),
        (["--folds", "2"], "--folds does not go with --leave-source-out"),
        (["--resume", "--source-column", "clinic"], "source_column was '', now 'clinic'"),
    ],
    ids=["a source that is trained on", "other epochs", "folds", "other sources"],
)
def test_what_does_not_fit_the_run_is_refused(
    finished: Run,
    folders: list[Path],
    options: list[str],
    more: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert leave_out(finished, folders, options, *more) == 1
    assert message in capsys.readouterr().err


def test_an_ordinary_run_does_not_resume_it(
    finished: Run, folders: list[Path], options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *map(str, folders), "--out", str(finished.directory), *options, "--resume"]) == 1
    assert "holds a run that leaves out 2 sources, so it cannot be resumed with no --leave" in capsys.readouterr().err


def test_one_source_alone_cannot_be_left_out(
    finished: Run, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = options.index("--image-size")
    training = options[:size] + options[size + 2 :]
    prepared = [finished.dataset.directory]
    run = Run(tmp_path / "run")
    assert leave_out(run, prepared, training, "--source-column", "licence") == 1
    assert "row 2: column 'licence' is empty" in capsys.readouterr().err
    assert leave_out(run, prepared, training, "--source-column", "clinic") == 1
    assert "no column 'clinic'. Expected one of: diagnosis," in capsys.readouterr().err
    assert not run.run_json.exists()


def test_overwriting_clears_the_runs_without_a_source(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.directory, tmp_path / "copy")
    clear(Run(tmp_path / "copy"))
    assert [path.name for path in (tmp_path / "copy").rglob("*.json") if path.parent.name != "dataset"] == []

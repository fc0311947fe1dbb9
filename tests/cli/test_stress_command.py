"""`nevus stress` on generated images; the model measures how dark an image is, so what light does to it is known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import nevus
from nevus.cli.main import main
from nevus.core.dataset import Dataset
from nevus.core.errors import ConfigError
from nevus.core.files import read_json
from nevus.core.image_changes import CHANGES
from nevus.core.runs import Run
from nevus.pipeline import stages
from nevus.pipeline.stress_images import sample

MODEL = Path(__file__).parents[1] / "serve" / "darkness.onnx"


@pytest.fixture(scope="module")
def stressed(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stressed") / "out"
    assert main(["stress", str(MODEL), str(phantoms), "--out", str(out), "--images", "24"]) == 0
    return out


def test_what_is_written_is_what_the_model_says_of_changed_images(stressed: Path) -> None:
    result = read_json(stressed / "stress.json", "")
    rows = {row["name"]: row for row in result["changes"]}
    assert list(rows) == sorted(rows, key=lambda name: -rows[name]["flipped"]["value"])
    assert (result["num_images"], result["num_available"], result["split"]) == (24, 160, "all")
    assert result["generated"]
    # Darker images have a higher risk, and mirrored ones the same.
    assert rows["darker"]["mean_shift"]["value"] > 0.01 > -0.01 > rows["brighter"]["mean_shift"]["value"]
    assert rows["mirror"]["flipped"]["value"] == 0
    assert abs(rows["mirror"]["mean_shift"]["value"]) < 1e-6
    dataset, model = Dataset(stressed / "dataset"), nevus.load(MODEL)
    of_image = {row.image_id: row for row in dataset.rows}
    change = next(change for change in CHANGES if change.name == "hair")
    for name in result["pictured"]:
        pixels = dataset.pixels[of_image[name].pixel_index]
        as_is, haired = model.predict([pixels, change.apply(pixels, name)], check=False)
        assert haired.risk > as_is.risk
    page = (stressed / "stress.html").read_text(encoding="utf-8")
    assert "Made from generated images" in page
    assert page.count("data:image/jpeg;base64,") == 2 * (1 + len(CHANGES))


def test_a_prepared_dataset_gives_the_same_again_and_nothing_is_replaced_unasked(
    stressed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["stress", str(MODEL), str(stressed / "dataset"), "--out", str(tmp_path / "out"), "--images", "24"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_json(stressed / "stress.json", "")
    assert main(command) == 1
    assert "holds a stress test already" in capsys.readouterr().err
    assert main([*command, "--split", "val", "--overwrite"]) == 1
    assert "no image in split 'val'" in capsys.readouterr().err
    assert main([*command, "--images", "-1"]) == 1
    assert "--images: expected a number, or 0 for all. Received: -1." in capsys.readouterr().err


def test_what_cannot_be_tested_is_said_in_a_sentence(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_kind = tmp_path / "one kind"
    shutil.copytree(phantoms / "benign", one_kind / "benign")
    assert main(["stress", str(MODEL), str(one_kind), "--out", str(tmp_path / "a")]) == 1
    assert (
        "images are benign. Expected malignant ones too, as without them there is no ROC-AUC."
        in capsys.readouterr().err
    )
    broken = tmp_path / "broken"
    for kind in ("benign", "malignant"):
        (broken / kind).mkdir(parents=True)
        (broken / kind / "1.jpg").write_bytes(b"not an image")
    assert main(["stress", str(MODEL), str(broken), "--out", str(tmp_path / "b")]) == 1
    message = capsys.readouterr().err
    assert "2 files were rejected" in message
    assert "rejected.csv" in message
    with pytest.raises(ConfigError, match="--out: expected a folder for the result"):
        nevus.stress(MODEL, phantoms)
    with pytest.raises(ConfigError, match="--split: expected one of train, val, test, all"):
        nevus.stress(MODEL, phantoms, tmp_path / "c", split="dev")


def test_a_run_is_tested_on_its_own_test_images_and_its_report_and_card_show_it(
    run_copy: Run, phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = read_json(run_copy.stress_json, "")
    assert first["split"] == "test"
    assert first["num_images"] == sum(run_copy.recorded("split_counts")["test"].values())
    page, card = (path.read_text(encoding="utf-8") for path in (run_copy.report_html, run_copy.model_card_md))
    assert 'id="stress"' in page
    assert first["changes"][0]["title"] in page
    assert "The model file has changed" not in page
    assert f"{100 * first['mean']['flipped']['value']:.1f} %" in card
    assert main(["stress", str(run_copy.directory), str(run_copy.directory), "--overwrite"]) == 0
    assert read_json(run_copy.stress_json, "")["changes"] == first["changes"]
    # The folder of a run takes no other images.
    assert main(["stress", str(run_copy.directory), str(phantoms), "--overwrite"]) == 1
    assert "is the folder of a run, whose dataset is not replaced" in capsys.readouterr().err
    run_copy.model_onnx.write_bytes(run_copy.model_onnx.read_bytes() + b"\0")
    stages.report(run_copy)
    assert "The model file has changed" in run_copy.report_html.read_text(encoding="utf-8")
    assert "Not tested" in run_copy.model_card_md.read_text(encoding="utf-8")


def test_a_sample_takes_whole_groups_and_keeps_the_share_of_malignant_images() -> None:
    generator = np.random.default_rng(0)
    groups = [f"lesion {number}" for number in np.repeat(np.arange(400), generator.integers(1, 5, 400))]
    codes = np.array([int(group.split()[1]) for group in groups])
    is_malignant = codes % 10 == 0
    chosen = sample(is_malignant, groups, 100, seed=1)
    assert 90 <= len(chosen) <= 100
    assert list(chosen) == sorted(chosen)
    assert set(np.flatnonzero(np.isin(codes, codes[chosen]))) == set(chosen)
    assert abs(is_malignant[chosen].mean() - is_malignant.mean()) < 0.04
    np.testing.assert_array_equal(chosen, sample(is_malignant, groups, 100, seed=1))
    assert set(chosen) != set(sample(is_malignant, groups, 100, seed=2))
    few = sample(is_malignant, groups, 1, seed=0)
    assert {*is_malignant[few]} == {True, False}
    assert len(sample(is_malignant, groups, 10_000, seed=0)) == len(groups)

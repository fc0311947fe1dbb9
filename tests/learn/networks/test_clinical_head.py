"""Clinical values as a second input: trained in addition to the image, left out at random, optional in the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import httpx
import keras
import numpy as np
import pytest
from export_runs import BINARY, HAM, make_dataset, make_run
from PIL import Image
from sklearn.metrics import roc_auc_score

import nevus
from nevus.cli.main import main
from nevus.core.clinical import ClinicalHead, Variable, encode
from nevus.core.config import Config
from nevus.core.errors import ConfigError, DataError, ModelFileError, RunError
from nevus.core.labels import Classes
from nevus.core.model_onnx import add_description, read_description
from nevus.core.modelfile import CLINICAL_INPUT, INPUT, golden_pixels
from nevus.core.predictions import read_predictions
from nevus.core.runs import Run
from nevus.learn.export.export import export
from nevus.learn.export.onnx_file import open_session
from nevus.learn.networks import architectures
from nevus.learn.networks.clinical_head import CLINICAL_LOGITS, read_head, with_clinical
from nevus.learn.training.batches import ALL_MISSING, drop_some
from nevus.learn.training.predict import predict
from nevus.learn.training.train import train
from serve.http_server import serving

VARIABLES = (Variable("age", centre=50.0, scale=12.0), Variable("sex", ("female", "male")))
VALUES = np.array([[62.0, 1.0], [np.nan, 0.0], [20.0, np.nan], [1e9, np.nan], [np.nan, np.nan]], dtype=np.float32)


def make_head(classes: Classes) -> ClinicalHead:
    outputs = 1 if len(classes.names) == 2 else len(classes.names)
    return ClinicalHead(VARIABLES, np.random.default_rng(0).normal(size=(5, outputs)).astype(np.float32))


@pytest.fixture(scope="module", params=[BINARY, HAM], ids=["binary", "ham10000"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("clinical") / "base", request.param, head=make_head(request.param))
    export(run, run.dataset)
    return run


def test_the_file_answers_for_pixels_alone_and_with_clinical_values(exported: Run) -> None:
    session = open_session(exported.model_onnx.read_bytes())
    assert [tensor.name for tensor in session.get_inputs()] == [INPUT]
    assert [tensor.name for tensor in session.get_overridable_initializers()] == [CLINICAL_INPUT]
    pixels = np.stack([golden_pixels(32, 32)] * len(VALUES))
    pixels[1:] += np.arange(1, len(VALUES), dtype=np.uint8)[:, None, None, None]
    bare, _, bare_map, *_ = session.run(None, {INPUT: pixels})
    nothing = np.full_like(VALUES, np.nan)
    assert np.array_equal(bare, session.run(None, {INPUT: pixels, CLINICAL_INPUT: nothing})[0])
    full, _, full_map, *_ = session.run(None, {INPUT: pixels, CLINICAL_INPUT: VALUES})
    # Only what clinical values add differs: the differences of the log-probabilities are those of the head's logits.
    classes = exported.dataset_info.classes
    added = architectures.class_logits(make_head(classes).logits(VALUES) - make_head(classes).logits(nothing))
    moved = np.log(full.astype(np.float64)) - np.log(bare.astype(np.float64))
    np.testing.assert_allclose(moved - moved[:, :1], added - added[:, :1], atol=2e-4)
    assert np.abs(full[:-1] - bare[:-1]).max() > 0.01
    np.testing.assert_allclose(full[-1], bare[-1], atol=1e-6)
    if len(classes.names) == 2:
        # The map explains the image's part of one logit, which they leave as it is.
        np.testing.assert_array_equal(full_map, bare_map)


def test_parity_covers_clinical_values_and_their_absence(exported: Run) -> None:
    from nevus.core.files import read_json

    checks = read_json(exported.parity_json, "")["onnx"]["checks"]
    assert {"batch size 1", "batch size 32", "no metadata"} <= {check["input"] for check in checks}
    assert "metadata.json" in read_json(exported.parity_json, "")["onnx"]["made_from"]


def test_a_validation_tells_the_model_what_is_known_of_each_image(exported: Run, tmp_path: Path) -> None:
    dataset, model = exported.dataset, nevus.load(exported.model_onnx)
    result = nevus.validate(exported.directory, dataset.directory, tmp_path, Config(bootstrap=100))
    # The images are those of the run itself: its training and validation images are known, and left out.
    assert result["leak"]["num_images"] == 80
    assert result["splits"]["test_without_leaks"]["num_images"] == 40
    predictions = read_predictions(tmp_path / "predictions.csv", model.spec.classes)
    rows = dataset.rows
    answers = model.predict(
        [dataset.pixels[row.pixel_index] for row in rows], metadata=[row.columns for row in rows], check=False
    )
    np.testing.assert_allclose(
        predictions.probabilities(model.spec.temperature),
        [list(answer.probabilities.values()) for answer in answers],
        atol=1e-6,
    )
    assert "age is not known for 24 images" in result["warnings"]
    assert len(result["classification"]["test"]["classes"]) == len(model.spec.classes.names)
    page = (tmp_path / "validation.html").read_text(encoding="utf-8")
    assert ("Which of 7 classes is it?" in page) == (len(model.spec.classes.names) == 7)


def test_int8_carries_clinical_values_and_formats_of_fixed_inputs_refuse_them(exported: Run) -> None:
    if len(exported.dataset_info.classes.names) == 2:
        content = export(exported, exported.dataset, "onnx-int8").read_bytes()
        assert [one.name for one in open_session(content).get_overridable_initializers()] == [CLINICAL_INPUT]
    for file_format in ("litert", "keras"):
        with pytest.raises(
            RunError, match=r"takes age, sex in addition to the image.*Expected one of: onnx, onnx-int8"
        ):
            export(exported, exported.dataset, file_format)


def test_the_predictor_takes_clinical_values(exported: Run) -> None:
    model = nevus.load(exported.model_onnx)
    assert model.spec.clinical == VARIABLES
    pixels = golden_pixels(40, 50)
    bare = model.predict(pixels, check=False)
    known = model.predict(pixels, metadata={"age": 62, "sex": "Male"}, check=False)
    assert known.risk != bare.risk
    assert model.predict(pixels, metadata={"age": "unknown", "sex": None}, check=False).risk == bare.risk
    several = model.predict([pixels] * 3, metadata=[{"age": 62, "sex": "male"}, None, {"sex": "other"}], check=False)
    assert several[0].risk == pytest.approx(known.risk, abs=1e-6)
    assert several[1].risk == pytest.approx(bare.risk, abs=1e-6)
    assert "sex: expected one of female, male" in (several[2].error or "")
    with pytest.raises(ConfigError, match="sex: expected one of"):
        model.predict(pixels, metadata={"sex": "other"}, check=False)
    with pytest.raises(ConfigError, match=r"one for each image, or None\. Received 1 for more"):
        model.predict([pixels, pixels], metadata=[None], check=False)


def test_the_command_takes_clinical_values(exported: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = Image.fromarray(golden_pixels(150, 150))
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png")
    model, given = nevus.load(exported.model_onnx), {"age": "62", "sex": "male"}
    # A drawing, which the check of images would refuse.
    known = model.predict(image, metadata=given, check=False).risk
    bare = model.predict(image, check=False).risk
    (tmp_path / "people.csv").write_text("file,sex,age\na.png,male,62\n")
    command = [
        "predict",
        str(exported.model_onnx),
        str(tmp_path / "a.png"),
        str(tmp_path / "b.png"),
        "--json",
        "--no-check",
    ]
    for option, expected in ((tmp_path / "people.csv", [known, bare]), ("age=62,sex=male", [known, known])):
        assert main([*command, "--metadata", str(option)]) == 0
        risks = [json.loads(line)["risk"] for line in capsys.readouterr().out.splitlines()]
        assert risks == pytest.approx(expected, abs=1e-6)
    assert main(["info", str(exported.model_onnx)]) == 0
    assert "age (number); sex (female, male); all optional" in capsys.readouterr().out


def test_the_server_takes_clinical_values(exported: Run, tmp_path: Path) -> None:
    Image.fromarray(golden_pixels(150, 150)).save(tmp_path / "a.png")
    model = nevus.load(exported.model_onnx)
    known, bare = (
        model.predict(tmp_path / "a.png", metadata=one, check=False).risk for one in ({"age": 62, "sex": "male"}, None)
    )
    with serving(model=exported.model_onnx) as address:

        def post(metadata: str) -> httpx.Response:
            files = {"images": ("a.png", (tmp_path / "a.png").read_bytes())}
            parameters = {"check": False, "metadata": metadata}
            return httpx.post(f"{address}/v1/predict", files=files, params=parameters, timeout=30)

        assert post("age=62,sex=male").json()["predictions"][0]["risk"] == pytest.approx(known, abs=1e-6)
        assert post("").json()["predictions"][0]["risk"] == pytest.approx(bare, abs=1e-6)
        refused = post("sex=other")
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unknown_metadata")
        assert "expected one of female, male" in refused.json()["error"]["message"]


def test_a_file_whose_inputs_are_not_those_it_describes_is_refused(exported: Run, tmp_path: Path) -> None:
    content = exported.model_onnx.read_bytes()
    text = read_description(content)
    for described in ('"metadata": [], "disclaimer"', '"metadata": [{"name": "x", "kind": "colour"}], "disclaimer"'):
        changed = text[: text.index('"metadata": [')] + described + text[text.index('"disclaimer"') + 12 :]
        (tmp_path / "model.onnx").write_bytes(add_description(content, changed))
        with pytest.raises(ModelFileError, match=r"inputs and outputs are|description is damaged"):
            nevus.load(tmp_path / "model.onnx")


def test_logits_beside_the_image_are_those_of_the_network_that_was_trained() -> None:
    keras.utils.set_random_seed(1)
    network = architectures.build("classic", 32, 2)
    trained = with_clinical(network, 5)
    pixels = np.random.default_rng(0).uniform(0, 255, (5, 32, 32, 3)).astype(np.float32)
    # Nothing is known of age or sex yet: the first answers are those of the image.
    encoded = encode(VARIABLES, VALUES)
    np.testing.assert_allclose(trained({"pixels": pixels, "metadata": encoded}), network(pixels))
    head = make_head(BINARY)
    trained.get_layer(CLINICAL_LOGITS).set_weights([head.weights])
    np.testing.assert_allclose(
        trained({"pixels": pixels, "metadata": encoded}), network(pixels) + head.logits(VALUES), atol=1e-5
    )


def test_clinical_values_are_left_out_at_random_and_nothing_is_made_up() -> None:
    values = np.tile(np.array([[1.0, 2.0, np.nan]], dtype=np.float32), (4000, 1))
    dropped = drop_some(values, np.random.default_rng(0))
    assert np.isnan(dropped[:, 2]).all()
    assert set(np.unique(dropped[:, 0][~np.isnan(dropped[:, 0])])) == {1.0}
    both = np.isnan(dropped[:, :2]).all(axis=1).mean()
    assert both == pytest.approx(ALL_MISSING + 0.75 * 0.01, abs=0.03)
    assert np.isnan(dropped[:, 0]).mean() == pytest.approx(0.25 + 0.75 * 0.1, abs=0.03)
    assert np.array_equal(drop_some(values, np.random.default_rng(0)), dropped, equal_nan=True)


def test_training_learns_what_clinical_values_say(tmp_path: Path) -> None:
    # The pixels are noise alone; the class is the sex, where it is known.
    dataset = make_dataset(tmp_path / "data", BINARY, 32, num_images=240)
    told = {"benign": "female", "malignant": "male"}
    rows = [
        replace(row, columns={"sex": told[row.label], "age": str(20 + number % 50)})
        for number, row in enumerate(dataset.rows)
    ]
    rows[-1] = replace(rows[-1], columns={"sex": "", "age": "unknown"})
    dataset.write_rows(rows)
    run = Run(tmp_path / "run")
    config = Config(image_size=32, metadata=("sex", "age"), model="classic", recipe="fast", epochs=10, batch_size=16)
    train(run, dataset, config)
    head = read_head(run)
    assert head is not None
    assert [variable.name for variable in head.variables] == ["sex", "age"]
    predict(run, dataset)
    test = read_predictions(run.predictions_csv("test"), dataset.info.classes)
    # The last image's values are not known, and its pixels are noise.
    assert roc_auc_score(test.is_malignant[:-1], test.risk()[:-1]) > 0.95
    assert np.isfinite(test.logits).all()
    with pytest.raises(DataError, match=r"no column 'site'\. It has: sex, age"):
        train(Run(tmp_path / "other"), dataset, replace(config, metadata=("site",)))


def test_a_lost_table_of_weights_is_no_model_of_pixels_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "base", head=make_head(BINARY))
    run.clinical_json.unlink()
    with pytest.raises(RunError, match=r"metadata\.json"):
        read_head(run)
    run.clinical_json.write_text('[{"name": "age"}]')
    with pytest.raises(RunError, match=r"metadata\.json lacks a field.*nevus train"):
        read_head(run)

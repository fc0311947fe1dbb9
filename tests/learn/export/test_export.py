"""The export and its parity gate, on the classic network with random weights and on one worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from export_runs import BINARY, HAM, make_darkness_model, make_run
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nevus.core import fingerprints
from nevus.core.errors import ParityError, RunError
from nevus.core.files import read_json, write_json
from nevus.core.labels import Classes
from nevus.core.model_onnx import DESCRIPTION_KEY
from nevus.core.modelfile import FAMILIARITY, INPUT, OUTPUTS, golden_pixels, parse_spec
from nevus.core.runs import Run
from nevus.learn.export import onnx_graph, samples
from nevus.learn.export.export import export
from nevus.learn.export.onnx_file import open_session
from nevus.learn.networks.activation_map import malignancy_map


@pytest.fixture(scope="module", params=[(BINARY, 1.0), (HAM, 1.7)], ids=["binary", "ham10000"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    classes, temperature = request.param
    run = make_run(tmp_path_factory.mktemp("export") / "base", classes, temperature=temperature)
    export(run, run.dataset)
    return run


@pytest.fixture
def darkness(tmp_path: Path) -> Run:
    return make_run(tmp_path / "base", model=make_darkness_model(32))


def test_the_file_is_a_valid_model_with_the_promised_tensors(run: Run) -> None:
    model = onnx.load(run.model_onnx)
    onnx.checker.check_model(model, full_check=True)
    session = open_session(model.SerializeToString())
    assert [tensor.name for tensor in session.get_inputs()] == [INPUT]
    assert tuple(tensor.name for tensor in session.get_outputs()) == (*OUTPUTS, FAMILIARITY)
    num_classes = len(run.dataset_info.classes.names)
    assert session.get_inputs()[0].shape == ["num_images", "height", "width", 3]
    assert [tensor.shape for tensor in session.get_outputs()] == [
        ["num_images", num_classes], ["num_images"], ["num_images", 4, 4], ["num_images"],
    ]  # fmt: skip


def test_a_list_of_the_images_that_it_was_trained_on_is_next_to_it(run: Run) -> None:
    spec = parse_spec({p.key: p.value for p in onnx.load(run.model_onnx).metadata_props}[DESCRIPTION_KEY])
    known = fingerprints.read_list(fingerprints.list_of(run.model_onnx))
    assert known is not None
    assert spec.provenance["fingerprints"] == {"num": len(known), "sha256": fingerprints.digest(known)}
    dataset = run.dataset
    seen = fingerprints.seen_otherwise(dataset.pixels, [row.pixel_index for row in dataset.rows])
    found, _ = fingerprints.copies(seen, known)
    assert {dataset.rows[row].split for row in found} == {"train", "val"}
    assert len(set(found.tolist())) == sum(row.split != "test" for row in dataset.rows)


def test_its_description_tells_where_the_model_comes_from(run: Run) -> None:
    text = {p.key: p.value for p in onnx.load(run.model_onnx).metadata_props}[DESCRIPTION_KEY]
    spec = parse_spec(text)
    assert spec.classes == run.dataset_info.classes
    assert spec.default_operating_point == "sensitivity-95"
    assert spec.test_metrics["roc_auc"] == [0.9, 0.8, 0.95]
    assert spec.test_metrics["average_precision"] == [None, None, None]
    assert spec.test_metrics["sensitivity at youden"] == [0.9, 0.8, 0.95]
    assert ("macro_roc_auc" in spec.test_metrics) == (len(spec.classes.names) > 2)
    assert spec.clinical == ()
    assert spec.provenance["dataset_fingerprint"] == run.dataset.fingerprint
    assert spec.generated
    assert "40 training images" in spec.trained_on
    assert "/somewhere/private" not in text
    assert str(run.directory.parent) not in text


def test_golden_answers_in_the_description_are_those_of_the_file(run: Run) -> None:
    model = onnx.load(run.model_onnx)
    spec = parse_spec({p.key: p.value for p in model.metadata_props}[DESCRIPTION_KEY])
    session = open_session(model.SerializeToString())
    assert len({(case.height, case.width) for case in spec.golden}) == 4
    for case in spec.golden:
        probabilities, risk, _, familiarity = session.run(None, {INPUT: golden_pixels(case.height, case.width)[None]})
        assert familiarity[0] == pytest.approx(case.familiarity, abs=1e-6)
        np.testing.assert_allclose(probabilities[0], case.probabilities, atol=1e-6)
        assert risk[0] == pytest.approx(case.risk, abs=1e-6)


def test_parity_is_written_with_its_limits(run: Run) -> None:
    parity = read_json(run.parity_json, "")["onnx"]
    # 40 of validation, and all 40 of training: never those of the test.
    assert parity["num_images"] == 80
    thresholds = ("youden", "sensitivity-95", "triage, low", "triage, high")
    assert parity["flipped"] == dict.fromkeys(thresholds, 0)
    assert parity["largest_difference"] <= parity["difference_limit"] == 1e-4
    assert all(check["largest"] <= check["limit"] for check in parity["checks"])
    figures = {"probability", "risk", "heatmap", "familiarity", "unfamiliar by one alone"}
    figures |= {"ROC-AUC lost", "resized grey levels", *(f"decisions flipped at {name}" for name in thresholds)}
    assert {check["figure"] for check in parity["checks"]} == figures


def test_exporting_twice_gives_the_same_bytes(darkness: Run) -> None:
    first = export(darkness, darkness.dataset).read_bytes()
    assert export(darkness, darkness.dataset).read_bytes() == first


def test_the_worked_example_gives_the_worked_answers(darkness: Run) -> None:
    session = open_session(export(darkness, darkness.dataset).read_bytes())
    for grey in (0, 51, 128, 255):
        pixels = np.full((1, 70, 50, 3), grey, dtype=np.uint8)
        risk, heatmap = session.run(["risk", "heatmap"], {INPUT: pixels})
        assert risk[0] == pytest.approx(1 / (1 + np.exp(-8 * (0.5 - grey / 255))), abs=1e-6)
        np.testing.assert_allclose(heatmap, 8 * (1 - grey / 255), atol=1e-5)


def test_heatmap_and_risk_follow_the_malignant_class_whatever_its_place(tmp_path: Path) -> None:
    # The one logit belongs to the second class; here that is the benign one.
    run = make_run(tmp_path / "base", Classes(("melanoma", "nevus"), ("melanoma",)), model=make_darkness_model(32))
    session = open_session(export(run, run.dataset).read_bytes())
    probabilities, risk, heatmap, _ = session.run(None, {INPUT: np.zeros((1, 32, 32, 3), dtype=np.uint8)})
    assert risk[0] == probabilities[0, 0] < 0.5
    np.testing.assert_allclose(heatmap, -8, atol=1e-5)


def test_a_committed_model_file_of_the_serve_tests_is_current(darkness: Run) -> None:
    committed = onnx.load(Path(__file__).parents[2] / "serve" / "darkness.onnx")
    fresh = onnx.load(export(darkness, darkness.dataset))
    # The committed file has no digest, so that tests can change its bytes.
    keys = [json.loads(model.metadata_props[0].value).keys() - {"digest"} for model in (committed, fresh)]
    assert keys[0] == keys[1]
    assert [n.name for n in committed.graph.node] == [n.name for n in fresh.graph.node]


def _with_wrong(monkeypatch: pytest.MonkeyPatch, **wrong: object) -> None:
    compose = onnx_graph.compose

    def altered(network: onnx.ModelProto, **arguments: object) -> onnx.ModelProto:
        return compose(network, **{**arguments, **wrong})

    monkeypatch.setattr(onnx_graph, "compose", altered)


def _with_changed_resize(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    compose = onnx_graph.compose

    def altered(*arguments: object, **options: object) -> onnx.ModelProto:
        model = compose(*arguments, **options)
        resize = next(node for node in model.graph.node if node.op_type == "Resize")
        kept = [attribute for attribute in resize.attribute if attribute.name != name]
        del resize.attribute[:]
        resize.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])
        return model

    monkeypatch.setattr(onnx_graph, "compose", altered)


def _assert_gate_closes(run: Run, figure: str) -> None:
    before = {path: path.read_bytes() for path in run.directory.iterdir() if path.is_file()}
    with pytest.raises(ParityError, match=figure):
        export(run, run.dataset)
    assert {path: path.read_bytes() for path in run.directory.iterdir() if path.is_file()} == before


def test_gate_catches_a_wrong_temperature(darkness: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_wrong(monkeypatch, temperature=1.01)
    _assert_gate_closes(darkness, "probability")
    assert not darkness.model_onnx.exists()


def test_gate_catches_a_wrong_heatmap(darkness: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_wrong(monkeypatch, class_weights=np.full((1, 1), 7.9, dtype=np.float32))
    _assert_gate_closes(darkness, "heatmap")


def test_gate_catches_swapped_classes(darkness: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_wrong(monkeypatch, classes=Classes(("benign", "malignant"), ("benign",)))
    _assert_gate_closes(darkness, "decisions flipped")


@pytest.mark.parametrize(
    ("name", "value"),
    [("coordinate_transformation_mode", "asymmetric"), ("exclude_outside", 0), ("mode", "cubic")],
)
def test_gate_catches_a_wrong_resize(darkness: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    _with_changed_resize(monkeypatch, name, value)
    _assert_gate_closes(darkness, "resized grey levels")


def test_gate_catches_a_graph_that_onnx_runtime_refuses(darkness: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_changed_resize(monkeypatch, "antialias", 0)
    _assert_gate_closes(darkness, "refuses the exported model")


def test_gate_catches_a_model_of_nan(tmp_path: Path) -> None:
    model = make_darkness_model(32)
    model.get_layer("logits").bias.assign([np.nan])
    _assert_gate_closes(make_run(tmp_path / "base", model=model), "probability")


def test_a_failed_export_leaves_the_older_file(darkness: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    export(darkness, darkness.dataset)
    _with_wrong(monkeypatch, temperature=2.0)
    _assert_gate_closes(darkness, "probability")
    assert darkness.model_onnx.exists()


def test_missing_stages_are_named(darkness: Run) -> None:
    metrics = darkness.metrics_json.read_bytes()
    darkness.metrics_json.unlink()
    with pytest.raises(RunError, match="nevus evaluate"):
        export(darkness, darkness.dataset)
    darkness.metrics_json.write_bytes(metrics)
    darkness.model_keras.unlink()
    with pytest.raises(RunError, match="nevus train"):
        export(darkness, darkness.dataset)


def test_a_damaged_network_is_named(darkness: Run) -> None:
    darkness.model_keras.write_bytes(b"not a model")
    with pytest.raises(RunError, match=r"model\.keras"):
        export(darkness, darkness.dataset)


def test_a_network_that_holds_code_is_refused_and_its_code_not_run(darkness: Run, tmp_path: Path) -> None:
    trace = tmp_path / "was_here"
    pixels = keras.Input((32, 32, 3))
    hostile = keras.Model(
        pixels, keras.layers.Lambda(eval(f"lambda x: (open({str(trace)!r}, 'w').close(), x)[1]"))(pixels)
    )
    hostile.save(darkness.model_keras)
    trace.unlink(missing_ok=True)
    with pytest.raises(RunError, match=r"model\.keras cannot be loaded"):
        export(darkness, darkness.dataset)
    assert not trace.exists()


def test_thresholds_of_an_older_training_are_refused(darkness: Run) -> None:
    with darkness.predictions_csv("val").open("a") as file:
        file.write("\n")
    with pytest.raises(RunError, match=r"val\.csv has changed"):
        export(darkness, darkness.dataset)


def test_another_dataset_is_refused(darkness: Run) -> None:
    dataset = darkness.dataset
    dataset.write_rows([replace(row, split="val") for row in dataset.rows])
    with pytest.raises(RunError, match="not the dataset"):
        export(darkness, dataset)


def test_a_missing_field_is_named(darkness: Run) -> None:
    chosen = read_json(darkness.operating_points_json, "")
    del chosen["temperature"]
    write_json(darkness.operating_points_json, chosen)
    with pytest.raises(RunError, match="temperature"):
        export(darkness, darkness.dataset)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", "{}"),
        ("metrics.json", '{"schema_version": 3}'),
        ("metrics.json", "[]"),
        ("parity.json", "[]"),
        ("parity.json", '{"onnx": {}}'),
    ],
)
def test_a_damaged_file_of_figures_is_named(name: str, content: str, darkness: Run) -> None:
    (darkness.directory / name).write_text(content)
    with pytest.raises(RunError, match=f"{name} is damaged"):
        export(darkness, darkness.dataset)


def test_a_file_that_could_not_be_opened_again_is_not_written(darkness: Run) -> None:
    darkness.update(training={**darkness.record["training"], "network": "dark\fness"})
    with pytest.raises(RunError, match=r"could not be opened again: .* U\+000C"):
        export(darkness, darkness.dataset)
    assert not darkness.model_onnx.exists()
    assert not darkness.parity_json.exists()


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_malignancy_map_is_the_gradient_of_the_log_odds(data: st.DataObject) -> None:
    """Its mean times a small step along the pooled features is the change of the malignant log-odds."""
    finite = st.floats(-3, 3)
    features = data.draw(hnp.arrays(np.float64, (1, 3, 2, 4), elements=finite))
    weights = data.draw(hnp.arrays(np.float64, (4, 7), elements=finite))
    mask = HAM.malignant_mask

    def log_odds(maps: np.ndarray) -> float:
        logits = maps.mean(axis=(1, 2)) @ weights
        return float(np.log(np.exp(logits[0, mask]).sum()) - np.log(np.exp(logits[0, ~mask]).sum()))

    heatmap = malignancy_map(features, features.mean(axis=(1, 2)) @ weights, weights, HAM)
    step = 1e-5
    change = (log_odds(features * (1 + step)) - log_odds(features * (1 - step))) / (2 * step)
    assert heatmap.mean() == pytest.approx(change, abs=1e-5)


def test_images_to_compare_on_are_of_validation_and_of_training_where_it_is_small(
    darkness: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = darkness.dataset
    pixels = {split: dataset.pixels[[row.pixel_index for row in dataset.rows_of(split)]] for split in ("val", "train")}
    monkeypatch.setattr(samples, "LEAST_PARITY_IMAGES", 47)
    sample = samples.parity_sample(dataset)
    np.testing.assert_array_equal(sample.pixels[:40], pixels["val"])
    assert len(sample.pixels) == len(sample.is_malignant) == 47
    assert all((image == pixels["train"]).all(axis=(1, 2, 3)).any() for image in sample.pixels[40:])
    monkeypatch.setattr(samples, "LEAST_PARITY_IMAGES", 5)
    monkeypatch.setattr(samples, "MAX_PARITY_IMAGES", 7)
    assert len(samples.parity_sample(dataset).pixels) == 7


def test_gelu_is_exported_though_tf2onnx_does_not_know_its_erfc(tmp_path: Path) -> None:
    pixels = keras.Input((32, 32, 3), name="pixels")
    maps = keras.layers.Conv2D(4, 3, strides=4, activation="gelu")(keras.layers.Rescaling(1 / 255)(pixels))
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(maps)
    model = keras.Model(pixels, keras.layers.Dense(1, name="logits")(pooled), name="gelu")
    run = make_run(tmp_path / "made", model=model)
    # Held against Keras on the way.
    operators = {node.op_type for node in onnx.load(export(run, run.dataset)).graph.node}
    assert "Erf" in operators
    assert "Erfc" not in operators


def test_a_network_that_onnx_has_no_operators_for_is_told(tmp_path: Path) -> None:
    pixels = keras.Input((32, 32, 3), name="pixels")
    maps = keras.layers.Conv2D(4, 3, groups=4)(keras.layers.Conv2D(4, 3, strides=4)(pixels))
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(maps)
    run = make_run(
        tmp_path / "made", model=keras.Model(pixels, keras.layers.Dense(1, name="logits")(pooled), name="grouped")
    )
    with pytest.raises(ParityError, match="cannot become an ONNX file: tf2onnx leaves StatefulPartitionedCall"):
        export(run, run.dataset)
    assert not run.model_onnx.exists()

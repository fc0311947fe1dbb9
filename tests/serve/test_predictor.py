"""Prediction with a model whose answers are worked out by hand: risk is sigmoid(8 * (mean darkness - 0.5))."""

from __future__ import annotations

import array
import copy
import dataclasses
import io
import itertools
import math
import multiprocessing
import pickle
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import bad_inputs
import nevus
from nevus.core.errors import BlankImageError, ConfigError, ImageError, ImageRefusedError, ModelFileError
from nevus.core.machine import available_processors
from nevus.core.modelfile import golden_pixels
from nevus.core.preprocess import load_pixels
from nevus.serve import predictor as predictor_module
from nevus.serve import stream as stream_module
from nevus.serve.images import Square
from nevus.serve.predictor import Prediction, Predictor, load
from nevus.serve.session import MAX_BATCH

MODEL = Path(__file__).with_name("darkness.onnx")
PREDICTOR = load(MODEL)
# The images here are far from dermoscopic.
predict, predict_many = partial(PREDICTOR.predict, check=False), partial(PREDICTOR.predict_many, check=False)


def two_greys(grey: int) -> tuple[int, int]:
    darker = min(max(grey - 15, 0), 225)
    return darker, darker + 30


def risk_of(grey: int) -> float:
    return 1 / (1 + math.exp(-8 * (0.5 - np.mean(two_greys(grey)) / 255)))


def grey_image(grey: int, height: int = 64, width: int = 64) -> np.ndarray:
    """Darker on the left than on the right, for an image of one colour is rejected; the width is even."""
    darker, brighter = two_greys(grey)
    image = np.full((height, width, 3), darker, dtype=np.uint8)
    image[:, width // 2 :] = brighter
    return image


def test_an_image_that_is_unlike_those_of_training_is_called_unfamiliar() -> None:
    # It was trained on noise, whose mean is near the middle of the greys.
    near, black = predict([grey_image(127), grey_image(0)])
    assert (near.unfamiliar, black.unfamiliar) == (False, True)
    assert near.familiarity is not None
    assert 0.02 <= near.familiarity <= 1
    assert black.familiarity == 0


def test_a_model_that_does_not_tell_familiarity_says_nothing_of_it() -> None:
    answer = load(Path(__file__).parents[1] / "core" / "versions" / "model-2.onnx").predict(grey_image(0), check=False)
    assert answer.risk is not None
    assert (answer.familiarity, answer.unfamiliar) == (None, None)


@given(st.integers(0, 255), st.integers(1, 90), st.integers(1, 45))
@settings(max_examples=50, deadline=None)
def test_risk_is_the_worked_one_at_any_size(grey: int, height: int, half_width: int) -> None:
    prediction = predict(grey_image(grey, height, 2 * half_width))
    # The resize rounds the pixels in the middle.
    assert prediction.risk == pytest.approx(risk_of(grey), abs=1e-3)
    assert prediction.decision == (prediction.risk >= 0.3)
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert prediction.probabilities["malignant"] == pytest.approx(prediction.risk, abs=1e-6)


def test_every_form_of_one_image_gives_the_same_answer(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 45, 3), dtype=np.uint8)
    path = tmp_path / "noise.png"
    Image.fromarray(pixels).save(path)
    forms = [path, str(path), path.read_bytes(), Image.open(path), Image.fromarray(pixels), pixels]
    assert len({predict(form).risk for form in forms}) == 1
    assert [p.source for p in predict(forms)[:3]] == [str(path), str(path), "image 3"]


def test_one_image_gives_a_prediction_and_several_a_list() -> None:
    one = predict(grey_image(10))
    assert isinstance(one, Prediction)
    several = predict(np.stack([grey_image(10)] * 3))
    assert [p.risk for p in several] == pytest.approx([one.risk] * 3, abs=1e-6)
    assert predict([]) == []


def test_an_open_pillow_image_is_turned_as_its_file_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(np.vstack([grey_image(0), grey_image(250)])).save(path, exif=exif)
    assert (predict(path, heatmap=True).heatmap == predict(Image.open(path), heatmap=True).heatmap).all()


def test_heatmap_points_to_where_the_risk_comes_from() -> None:
    pixels = np.full((64, 64, 3), 255, dtype=np.uint8)
    pixels[:32, 32:] = 0
    prediction = predict(pixels, heatmap=True)
    assert prediction.heatmap.dtype == np.float32
    assert prediction.heatmap.shape == (8, 8)
    np.testing.assert_allclose(prediction.heatmap[:3, 5:], 8, atol=1e-5)
    np.testing.assert_allclose(prediction.heatmap[5:, :3], 0, atol=1e-5)
    assert predict(pixels).heatmap is None


def test_operating_point_decides() -> None:
    risk_between = grey_image(140)
    assert predict(risk_between).decision
    assert predict(risk_between, operating_point="youden").decision is False
    with pytest.raises(ModelFileError, match="youden, sensitivity-95"):
        predict(risk_between, operating_point="yuden")
    with pytest.raises(ModelFileError, match="youden, sensitivity-95"):
        predict_many([], operating_point="yuden")


def test_triage_and_the_risk_at_a_prevalence_are_the_worked_ones() -> None:
    greys = [250, 128, 10]
    answers = predict([grey_image(grey) for grey in greys], prevalence=0.02)
    assert [answer.triage for answer in answers] == ["low", "uncertain", "high"]
    for answer, grey in zip(answers, greys, strict=True):
        # The model file says that its risks assume 40 malignant lesions of 100.
        odds = risk_of(grey) / (1 - risk_of(grey)) * (0.02 / 0.98) / (0.4 / 0.6)
        assert answer.prevalence == 0.02
        assert answer.risk_at_prevalence == pytest.approx(odds / (1 + odds), rel=1e-5)
        assert answer.risk == pytest.approx(risk_of(grey), abs=1e-5)
    assert predict(grey_image(10)).risk_at_prevalence is None
    with pytest.raises(ConfigError, match="between 0 and 1"):
        predict_many([], prevalence=1.76)


def test_the_risk_that_equals_the_threshold_is_malignant() -> None:
    point = PREDICTOR.spec.operating_point()
    assert point.decide(point.threshold)
    assert not point.decide(math.nextafter(point.threshold, 0))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((5, 5)),
        np.zeros((5, 5, 3), dtype=np.float32),
        np.zeros((5, 5, 4), dtype=np.uint8),
        np.zeros((0, 5, 3), dtype=np.uint8),
        np.uint8(3),
        b"",
        b"no image",
        "",
        "/nowhere/at/all.jpg",
        "nul\0byte.jpg",
    ],
    ids=str,
)
def test_one_wrong_image_raises_and_one_among_others_is_recorded(wrong: object) -> None:
    if not isinstance(wrong, np.generic):
        with pytest.raises(ImageError):
            predict(wrong)
    good, bad = predict([grey_image(9), wrong])
    assert good.error is None
    assert bad.error
    assert (bad.risk, bad.decision, bad.probabilities) == (None, None, {})


def test_things_that_are_no_images_are_recorded() -> None:
    assert "received int" in predict([3])[0].error
    assert "received NoneType" in predict([None])[0].error


def test_bad_files_never_stop_a_stream(tmp_path: Path) -> None:
    corpus = bad_inputs.write_bad_inputs(tmp_path)
    predictions = list(predict_many(item.path for item in corpus))
    assert len(predictions) == len(corpus)
    for item, prediction in zip(corpus, predictions, strict=True):
        assert prediction.source == str(item.path)
        if item.reason is None:
            assert prediction.error is None, item.path
            assert 0 <= prediction.risk <= 1
        else:
            assert item.reason in prediction.error, item.path


@given(st.lists(st.one_of(st.integers(0, 255), st.none()), max_size=100))
@settings(max_examples=20, deadline=None)
def test_order_is_kept_and_batches_change_nothing(greys: list[int | None]) -> None:
    images = [b"bad" if grey is None else grey_image(grey, 8, 8) for grey in greys]
    predictions = list(predict_many(images))
    assert [p.error is None for p in predictions] == [grey is not None for grey in greys]
    for grey, prediction in zip(greys, predictions, strict=True):
        if grey is not None:
            assert prediction.risk == pytest.approx(predict(grey_image(grey, 8, 8)).risk, abs=1e-5)


def test_a_stream_reads_only_a_few_batches_ahead() -> None:
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield grey_image(number % 256, 8, 8)

    stream = predict_many(endless())
    for number in range(200):
        assert next(stream).risk == pytest.approx(risk_of(number % 256), abs=1e-5)
    assert taken <= 200 + 3 * available_processors() * MAX_BATCH
    stream.close()


def test_a_slow_source_gets_its_first_answers_before_all_threads_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "available_processors", lambda: 8)
    taken = 0

    def camera() -> Iterator[np.ndarray]:
        nonlocal taken
        for number in range(100):
            time.sleep(0.02)
            taken += 1
            yield grey_image(number, 8, 8)

    stream = predict_many(camera())
    assert next(stream).source == "image 1"
    assert taken <= 4 * PREDICTOR.batch_size
    assert [prediction.source for prediction in stream] == [f"image {number}" for number in range(2, 101)]


def test_who_ends_a_stream_does_not_wait_for_images_that_are_not_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def slow(image: bytes, image_size: int, *, check: bool) -> Square:
        nonlocal read
        time.sleep(0.1)
        read += 1
        return Square(grey_image(1, image_size, image_size), (image_size, image_size), "")

    monkeypatch.setattr(stream_module, "available_processors", lambda: 1)
    monkeypatch.setattr(predictor_module, "to_square", slow)
    stream = predict_many(itertools.repeat(b""))
    next(stream)
    time.sleep(0.05)  # The thread is at the second batch.
    stream.close()
    assert read < 2 * PREDICTOR.batch_size


def test_an_array_that_the_caller_reuses_is_read_before_it_changes() -> None:
    def frames() -> Iterator[np.ndarray]:
        frame = grey_image(0, 32, 32)
        for grey in range(100):
            frame[:] = grey_image(grey, 32, 32)
            yield frame

    risks = [p.risk for p in predict_many(frames())]
    assert risks == pytest.approx([risk_of(grey) for grey in range(100)], abs=1e-5)


def test_an_error_of_the_caller_passes_through() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield grey_image(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(predict_many(broken()))


def page_of_text() -> Image.Image:
    page = Image.new("RGB", (300, 300), "white")
    draw = ImageDraw.Draw(page)
    for row in range(10, 290, 16):
        draw.text((12, row), "An even ground, and black on it in rows.", "black")
    return page


def test_what_a_model_cannot_answer_for_is_refused_unless_asked(lesions: list[Path], tmp_path: Path) -> None:
    page_of_text().save(tmp_path / "page.png")
    small = golden_pixels(90, 120)
    images = [lesions[0], tmp_path / "page.png", page_of_text(), np.asarray(page_of_text()), small, "none.jpg"]
    answers = PREDICTOR.predict(images)
    codes = [None, *["not_dermoscopic"] * 3, "too_small", "not_readable"]
    assert [answer.error_code for answer in answers] == codes
    assert [answer.refused for answer in answers] == [False, True, True, True, True, False]
    assert [answer.risk is None for answer in answers] == [code is not None for code in codes]
    assert [answer.error_code for answer in predict(images)] == [None] * 5 + ["not_readable"]
    for image, code in zip(images[1:5], codes[1:5], strict=True):
        with pytest.raises(ImageRefusedError, match="check=False asks the model all the same") as caught:
            PREDICTOR.predict(image)
        assert caught.value.code == code
        assert predict(image).risk is not None


@pytest.mark.parametrize("check", [True, False])
def test_an_image_without_anything_to_see_gets_no_risk_in_any_form(check: bool, tmp_path: Path) -> None:
    blue = np.full((128, 128, 3), (40, 80, 200), dtype=np.uint8)
    unseen = Image.fromarray(golden_pixels(128, 128))
    unseen.putalpha(0)
    for pixels in (Image.fromarray(blue), unseen):
        pixels.save(tmp_path / "blank.png")
        forms = [tmp_path / "blank.png", (tmp_path / "blank.png").read_bytes(), pixels]
        for answer in PREDICTOR.predict([*forms, blue], check=check):
            assert (answer.risk, answer.error_code) == (None, "blank")
            assert "nothing to see" in answer.error
            assert not answer.refused
        for form in [*forms, blue]:
            with pytest.raises(BlankImageError):
                PREDICTOR.predict(form, check=check)


def test_a_refused_image_can_be_pickled_and_raised_again() -> None:
    error = pickle.loads(pickle.dumps(ImageRefusedError("too_small", "The image is too small.")))
    assert (error.code, str(error)) == ("too_small", "The image is too small.")


class _Answering:
    """Stands where ONNX Runtime does, to give what a sound graph never gives."""

    def __init__(self, **outputs: np.ndarray) -> None:
        self.outputs = outputs

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        count = len(feed["pixels"])
        sound = {
            "probabilities": np.full((count, 2), 0.5, np.float32),
            "risk": np.full(count, 0.5, np.float32),
            "heatmap": np.zeros((count, 4, 4), np.float32),
            "familiarity": np.full(count, 0.5, np.float32),
        }
        return [{**sound, **self.outputs}[name] for name in names]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"risk": [math.nan, 0.5, 0.5]}, "no finite 'risk'"),
        ({"risk": [0.5, 0.5, 5.0]}, "'risk' from 0.5 to 5. Expected shares from 0 to 1"),
        ({"risk": [-0.1, 0.5, 0.5]}, "'risk' from -0.1"),
        ({"risk": [0.5]}, "'risk' of shape .1. for 3 images"),
        ({"risk": [[0.5], [0.5], [0.5]]}, "'risk' of shape"),
        ({"probabilities": [[0.5, 0.5]] * 2}, "'probabilities' of shape"),
        ({"probabilities": [[0.5] * 3] * 3}, "'probabilities' of shape"),
        ({"probabilities": [[math.inf, 0.5]] * 3}, "no finite 'probabilities'"),
        ({"probabilities": [[1.2, -0.2]] * 3}, "'probabilities' from -0.2 to 1.2"),
        ({"heatmap": [[[0.0]]]}, "'heatmap' of shape"),
        ({"familiarity": [0.5, 0.5, 1.5]}, "'familiarity' from 0.5 to 1.5"),
        ({"heatmap": [[[], []]] * 3}, "'heatmap' of shape .3, 2, 0."),
        ({"heatmap": [[[math.nan]]] * 3}, "no finite 'heatmap'"),
    ],
    ids=str,
)
def test_an_answer_that_no_model_gives_is_an_error_that_names_the_file(outputs: dict[str, list], message: str) -> None:
    arrays = {name: np.array(values, np.float32) for name, values in outputs.items()}
    predictor = Predictor(_Answering(**arrays), PREDICTOR.spec, MODEL)
    with pytest.raises(ModelFileError, match=f"darkness.onnx gave {message}"):
        predictor.predict([grey_image(1)] * 3, heatmap=True, check=False)


def test_a_risk_that_rounding_carried_past_its_end_is_the_end() -> None:
    risk = np.array([-5e-7, 1 + 5e-7], np.float32)
    predictor = Predictor(_Answering(risk=risk, probabilities=np.stack([1 - risk, risk], 1)), PREDICTOR.spec, MODEL)
    answers = predictor.predict([grey_image(1)] * 2, prevalence=0.02, check=False)
    assert [(answer.risk, answer.risk_at_prevalence) for answer in answers] == [(0, 0), (1, 1)]


def test_prediction_loads_no_training_package() -> None:
    code = (
        "import sys, nevus; nevus.load(sys.argv[1]).predict_many([]);"
        "print([m for m in ('tensorflow', 'keras', 'onnx', 'sklearn', 'matplotlib', 'tqdm') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code, MODEL], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert result.stderr == ""


def test_the_public_names_are_these() -> None:
    assert nevus.load is load
    assert nevus.Predictor is Predictor
    assert nevus.Prediction is Prediction


@pytest.mark.real_data
def test_real_images_from_files_agree_with_the_graphs_own_resize(real_images: Path) -> None:
    paths = sorted((real_images / "benign").iterdir())[:20]
    through_pillow = [p.risk for p in predict(paths)]
    session = PREDICTOR._session
    in_graph = [session.run(["risk"], {"pixels": np.asarray(Image.open(path))[None]})[0][0] for path in paths]
    np.testing.assert_allclose(through_pillow, in_graph, atol=1e-3)
    assert load_pixels(paths[0], 32).shape == (32, 32, 3)


def _forms(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    at_its_end = io.BytesIO()
    at_its_end.write(data)
    return {
        "BytesIO": io.BytesIO(data),
        "BytesIO at its end": at_its_end,
        "file": path.open("rb"),
        "file without a buffer": path.open("rb", buffering=0),
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
        "array": array.array("B", data),
    }


def test_one_image_in_memory_or_in_an_open_file_is_one_image(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(grey_image(90)).save(path)
    expected = predict(path).risk
    for name, form in _forms(path).items():
        answer = predict(form)
        assert isinstance(answer, Prediction), name
        assert (answer.risk, answer.source) == (expected, "image 1"), name
    assert [one.risk for one in predict(list(_forms(path).values()))] == pytest.approx([expected] * 7, abs=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "expected a path, .* received NoneType"),
        (3, "expected a path, .* received int"),
        (io.StringIO("text"), "open for reading bytes.* gave str"),
        (io.BytesIO(), "empty file"),
        (bytearray(b"text"), "not an image"),
        (zipfile.ZipFile(io.BytesIO(), "w"), "the open file cannot be read"),
    ],
    ids=lambda part: type(part).__name__,
)
def test_what_is_no_image_is_named_as_such(given: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        predict(given)
    good = grey_image(90)
    (first, second) = predict([given, good])
    assert first.error_code == "not_readable"
    assert second.risk is not None


def test_a_closed_file_is_an_error_of_its_image(tmp_path: Path) -> None:
    Image.fromarray(grey_image(90)).save(tmp_path / "grey.png")
    with (tmp_path / "grey.png").open("rb") as file:
        pass
    with pytest.raises(ImageError, match=r"cannot be read.*closed"):
        predict(file)


@pytest.mark.parametrize("one", ["photo.jpg", b"bytes", io.BytesIO(b"bytes"), grey_image(90), None])
def test_a_stream_of_images_is_expected_where_many_are_predicted(one: object) -> None:
    with pytest.raises(ConfigError, match="expected an iterable of images"):
        predict_many(one)


def test_several_images_may_be_a_sequence_without_an_iterator() -> None:
    class Frames:
        def __getitem__(self, index: int) -> np.ndarray:
            return [grey_image(60), grey_image(200)][index]

    alone = [predict(grey_image(60)).risk, predict(grey_image(200)).risk]
    assert [one.risk for one in predict(Frames())] == pytest.approx(alone, abs=1e-5)


def test_a_predictor_is_pickled_with_its_file_and_copied(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL.read_bytes())
    original, image = load(path), grey_image(70)
    pickled = pickle.dumps(original)
    path.unlink()
    again = [pickle.loads(pickled), copy.copy(original), copy.deepcopy([original])[0]]
    expected = original.predict(image, check=False, heatmap=True)
    for one in again:
        assert one is not original
        assert one.path == path
        assert one.predict(image, check=False, heatmap=True) == expected
    with pytest.raises(ModelFileError, match="does not exist"):
        pickle.dumps(original)
    path.write_bytes((Path(nevus.__file__).parent / "models" / "compact.onnx").read_bytes())
    with pytest.raises(ModelFileError, match="has changed since it was opened"):
        pickle.dumps(original)


def test_a_pool_of_processes_predicts() -> None:
    images = [grey_image(grey) for grey in (40, 120, 220)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(partial(PREDICTOR.predict, check=False), images))
    assert found == [predict(image) for image in images]


def test_predictions_compare_and_hash() -> None:
    first, second = (predict(grey_image(grey), heatmap=True) for grey in (70, 71))
    same = pickle.loads(pickle.dumps(first))
    assert same is not first
    assert same == first != second
    assert hash(same) == hash(first)
    assert len({first, same, second}) == 2
    assert first != dataclasses.replace(first, heatmap=None)
    assert first != dataclasses.replace(first, heatmap=first.heatmap + 1)
    assert first != dataclasses.replace(first, probabilities={})
    assert first != "image 1"

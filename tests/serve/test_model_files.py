"""Files that are not sound models: each gives one clear error, and nothing on standard error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nevus.core.errors import ModelFileError
from nevus.core.model_archive import add_description
from nevus.serve import session
from nevus.serve.predictor import load

MODEL = Path(__file__).with_name("darkness.onnx").read_bytes()


def _assert_refused(path: Path, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        load(path)
    assert path.name in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _assert_refused(tmp_path / "absent.onnx", "does not exist", capfd)


def test_a_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _assert_refused(tmp_path, "not a regular file", capfd)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, I am text", "cannot be opened"),
        (b"\x89PNG\r\n\x1a\n", "cannot be opened"),
        (os.urandom(5000), "cannot be opened"),
        (MODEL[: len(MODEL) // 2], "cannot be opened"),
        (MODEL[:-100], "cannot be opened"),
        (MODEL.replace(b"\n\x05nevus\x12", b"\n\x05other\x12"), "without the description"),
        (MODEL.replace(b'"schema_version": 3', b'"schema_version": 7'), "newer version of Nevus"),
        (MODEL.replace(b'{"schema_version', b'["schema_version'), "damaged"),
        (MODEL.replace(b'"image_size": 32', b'"image_size": -3'), "image_size"),
        (MODEL.replace(b'"temperature": 1.0', b'"temperature": 0.0'), "temperature"),
        (MODEL.replace(b'"threshold": 0.3', b'"threshold": 9.3'), "threshold"),
        (MODEL.replace(b"probabilities", b"probabilitiez"), "probabilitie"),
        (MODEL.replace(b"pixels", b"pixelz"), "pixelz"),
        (
            MODEL.replace(b'"names": ["benign", "malignant"]', b'"names": ["m", "malignant", "x"]'),
            "one probability for each class",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_bytes(tmp_path: Path, content: bytes, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert content != MODEL
    path = tmp_path / "wrong.onnx"
    path.write_bytes(content)
    _assert_refused(path, message, capfd)


@pytest.mark.parametrize(
    ("old", "new"), [(b"pixels", b"\x1b[31mA"), (b"heatmap", b"\x1b[31mAB"), (b'"\x07Softmax', b'"\x07\x1b[31mAB')]
)
def test_names_that_steer_a_terminal_are_not_printed(
    tmp_path: Path, old: bytes, new: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert old in MODEL
    assert len(old) == len(new)
    path = tmp_path / "red.onnx"
    path.write_bytes(MODEL.replace(old, new))
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(session.MAX_MODEL_BYTES + 1)
    _assert_refused(path, "larger than 512 MiB", capfd)


def test_flipped_bytes_never_crash(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flipped.onnx"
    for position in range(0, len(MODEL), 23):
        path.write_bytes(MODEL[:position] + bytes([MODEL[position] ^ 0xFF]) + MODEL[position + 1 :])
        try:
            load(path)
        except ModelFileError:
            continue
    assert capfd.readouterr() == ("", "")


def test_weights_in_other_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    for name in [weight.name for weight in onnx.load_from_string(MODEL).graph.initializer]:
        model = onnx.load_from_string(MODEL)
        weight = next(weight for weight in model.graph.initializer if weight.name == name)
        values = onnx.numpy_helper.to_array(weight).tobytes()
        Path("secret").write_bytes(values)
        for field in ("raw_data", "float_data", "int64_data"):
            weight.ClearField(field)
        weight.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "secret"), ("offset", "0"), ("length", str(len(values)))):
            weight.external_data.add(key=key, value=value)
        Path("outside.onnx").write_bytes(model.SerializeToString())
        _assert_refused(tmp_path / "outside.onnx", "cannot be opened", capfd)


def test_another_type_of_pixels_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(MODEL)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    path = tmp_path / "float.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError):
        load(path)


@pytest.mark.parametrize("suffix", [".tflite", ".keras"])
def test_descriptions_of_other_formats_are_read_and_checked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    spec = load(Path(__file__).with_name("darkness.onnx")).spec
    path.write_bytes(add_description(b"anything", spec.to_json()))
    assert session.read_spec(path).to_json() == spec.to_json()
    for content in (b"anything", add_description(b"anything", "{}"), path.read_bytes()[:-5]):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=path.name):
            session.read_spec(path)

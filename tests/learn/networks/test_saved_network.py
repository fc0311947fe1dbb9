"""Saved networks that strangers made: each that asks for more than a network is refused before Keras builds it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from nevus.core.errors import ConfigError, ModelFileError
from nevus.core.model_archive import add_description
from nevus.learn.networks import architectures, saved_network
from nevus.learn.networks.backbones import load_weights
from nevus.learn.networks.saved_network import load_network


def network() -> keras.Model:
    pixels = keras.Input((8, 8, 3))
    return keras.Model(pixels, keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D()(pixels)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The members of a saved network."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    network().save(path)
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def written(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def changed(saved: dict[str, bytes], change: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
    """The members with another configuration."""
    config = json.loads(saved["config.json"])
    change(config["config"]["layers"][-1]["config"])
    return {**saved, "config.json": json.dumps(config).encode()}


def weights(write: Callable[[h5py.File], object]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return buffer.getvalue()


def refused(path: Path, reason: str) -> None:
    with pytest.raises(ModelFileError, match=reason) as caught:
        load_network(path)
    assert "\n" not in str(caught.value)


def test_a_network_comes_back_as_it_was_saved_with_a_description_too(tmp_path: Path) -> None:
    made = network()
    made.save(tmp_path / "model.keras")
    (tmp_path / "model.keras").write_bytes(add_description((tmp_path / "model.keras").read_bytes(), "{}"))
    loaded = load_network(tmp_path / "model.keras")
    for one, other in zip(made.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # The scope in which the weights were counted is not that of this thread.
    assert keras.layers.Dense(3)(np.zeros((1, 2), np.float32)).shape == (1, 3)


def test_a_configuration_of_more_weights_than_the_file_holds_is_refused(
    saved: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel of four terabytes: to build it is to fail."""
    members = changed(saved, lambda config: config.update(units=2**38))
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: pytest.fail("it was built"))
    refused(written(tmp_path / "model.keras", members), r"describes 1,099,511,627,776 weights, and the file holds 8")


def test_datasets_larger_than_their_file_are_refused(saved: dict[str, bytes], tmp_path: Path) -> None:
    """A dataset that nobody wrote to, or that is compressed, takes no room in its file."""
    unwritten = weights(lambda file: file.create_dataset("kernel", (2**14, 2**14), np.float32))
    packed = weights(lambda file: file.create_dataset("kernel", data=np.zeros((2**11, 2**11)), compression="gzip"))
    for content, size in ((unwritten, "1,024"), (packed, "32")):
        refused(written(tmp_path / "model.keras", {**saved, "model.weights.h5": content}), f"would take {size} MiB")


@pytest.mark.parametrize(
    "member", ["metadata.json", "config.json", "model.weights.h5", "model.weights.json", "../a", "assets/a"]
)
def test_members_that_keras_does_not_write_or_twice_are_refused(
    saved: dict[str, bytes], tmp_path: Path, member: str
) -> None:
    path = written(tmp_path / "model.keras", saved)
    if member in saved:
        with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
            archive.writestr(member, saved[member])
    else:
        written(path, {**saved, member: b"{}"})
    refused(path, "once, and nothing else")


def test_another_compression_and_a_configuration_that_is_large_deep_or_long_are_refused(
    saved: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    refused(written(path, saved, zipfile.ZIP_BZIP2), "compressed by bzip2")
    refused(written(path, {**saved, "config.json": b"[" * 100_000}), "nests too deep")
    refused(written(path, {**saved, "config.json": b"[" * 100 + b"]" * 100}), "nests deeper than 32")
    refused(written(path, {**saved, "config.json": b" " * (2**23 + 1)}, zipfile.ZIP_DEFLATED), "larger than 8 MiB")
    refused(written(path, {**saved, "config.json": b"{}"}), ".")
    monkeypatch.setattr(saved_network, "_MOST_LAYERS", 2)
    refused(written(path, saved), "it has 3 layers")


def test_weights_in_other_files_are_refused(saved: dict[str, bytes], tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    secret.write_bytes(weights(lambda file: file.create_dataset("kernel", data=np.ones((3, 2), np.float32))))
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[...] = h5py.VirtualSource(secret, "kernel", (3, 2))
    places: dict[str, Callable[[h5py.File], object]] = {
        "a link to elsewhere": lambda file: file.update({"layers": h5py.ExternalLink(str(secret), "/")}),
        "is a link to elsewhere": lambda file: file.update({"layers": h5py.SoftLink("/")}),
        "stored in another file": lambda file: file.create_dataset(
            "layers/kernel", (6,), np.float32, external=[(str(secret), 0, 24)]
        ),
        "is stored in another file": lambda file: file.create_virtual_dataset("layers/kernel", layout),
    }
    for reason, write in places.items():
        refused(written(tmp_path / "model.keras", {**saved, "model.weights.h5": weights(write)}), reason)
        file = tmp_path / "source.weights.h5"
        file.write_bytes(weights(write))
        with pytest.raises(ConfigError, match=reason):
            load_weights(architectures.build("classic", 32, 2), "mobilenetv3-small", str(file))


def test_groups_that_hold_one_another_are_read_to_an_end(saved: dict[str, bytes], tmp_path: Path) -> None:
    content = weights(lambda file: file.update({"layers": file, "again": file}))
    refused(written(tmp_path / "model.keras", {**saved, "model.weights.h5": content}), ".")

"""The parts of the benchmark: who competes in each. All are set against the first contender of their part."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness import Contender, nevus, script

# Recipe and batch size of each network.
RECIPES = {"classic": ("classic", 32), "compact": ("fast", 64)}

# A short training on fewer pixels, and its options.
QUICK = Path(__file__).parents[1] / "configs" / "compact-quick.toml"
QUICK_OPTIONS = tomllib.loads(QUICK.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Setting:
    """What contenders are told.

    Attributes:
        folder: benign/ and malignant/.
        work: for all that is made.
        networks: of Nevus.
        image_size: side of the square that networks see, in pixels.
        target: validation ROC-AUC of time-to-quality.
        epochs: most epochs of time-to-quality, where the recipe has no schedule.
        at_most: seconds after which a contender of time-to-quality is stopped at the end of an epoch.
        without_notebook: leaves it out of time-to-quality.
    """

    folder: Path
    work: Path
    networks: tuple[str, ...]
    image_size: int
    target: float
    epochs: int
    at_most: float
    without_notebook: bool

    @property
    def links(self) -> Path:
        """A folder with links to some of the images."""
        return self.work / "images"

    @property
    def dataset(self) -> Path:
        """These images, prepared and split."""
        return self.work / f"dataset-{self.image_size}"

    def whole_dataset(self, image_size: int) -> Path:
        """All images of the folder, prepared and split, for time-to-quality."""
        return self.work / f"whole-{image_size}"

    def model(self, network: str) -> Path:
        """The model file of a network; its `model.keras` lies beside it."""
        return self.work / f"{network}-{self.image_size}" / "model.onnx"

    @property
    def image(self) -> Path:
        return min(self.links.glob("malignant/*.jpg"))


def limits(setting: Setting) -> list[Contender]:
    return [
        Contender("matrix product, float32", script("limits", "matmul"), "gflop_per_second"),
        Contender(
            "decoding and resizing alone",
            script("limits", "decode", setting.links, setting.image_size),
            "images_per_second",
        ),
    ]


def training(setting: Setting) -> list[Contender]:
    key = "images_per_second"
    rows = [
        Contender(
            "Keras notebook, classic", script("keras_notebook", "train", setting.links, setting.image_size, 3), key
        )
    ]
    for network in setting.networks:
        recipe, batch_size = RECIPES[network]
        out = setting.work / f"train-{network}"
        command = script("nevus_training", setting.dataset, out, network, recipe, 3)
        rows.append(Contender(f"Nevus, {network}, recipe {recipe}", command, key))
        rows += _torch(setting, network, "train", batch_size)
    return rows


def time_to_quality(setting: Setting) -> list[Contender]:
    """Preparation is counted for all; the search for duplicates, which the notebook lacks, for none."""
    notebook = script("keras_notebook", "train", setting.folder, setting.image_size, setting.epochs)
    rows = [] if setting.without_notebook else [_until(setting, "Keras notebook, classic", notebook)]
    for network in setting.networks:
        recipe, _ = RECIPES[network]
        # The recipe's own number of epochs where it has a schedule over them.
        most = ["--epochs", str(setting.epochs)] if recipe == "classic" else []
        options = ["--model", network, "--recipe", recipe, *most]
        rows.append(_nevus_until(setting, f"{network}, recipe {recipe}", setting.image_size, options))
    if "compact" in setting.networks:
        size, epochs = QUICK_OPTIONS["image_size"], QUICK_OPTIONS["epochs"]
        rows.append(_nevus_until(setting, f"compact, {size} px, {epochs} epochs", size, ["--config", str(QUICK)]))
    return rows


def _nevus_until(setting: Setting, name: str, image_size: int, options: list[str]) -> Contender:
    fresh, out = setting.work / "fresh", setting.work / f"quality-{name.replace(', ', '-').replace(' ', '-')}"
    prepare = nevus("prepare", setting.folder, "--out", fresh, "--overwrite", "--image-size", str(image_size))
    train = nevus("train", setting.whole_dataset(image_size), "--out", out, "--overwrite", *options)
    return _until(setting, f"Nevus, {name}", [*prepare, "then", *train])


def _until(setting: Setting, name: str, command: list[str]) -> Contender:
    return Contender(name, script("until_quality", setting.target, setting.at_most, *command), "seconds")


def scoring(setting: Setting) -> list[Contender]:
    key = "images_per_second"
    rows = [Contender("Keras predict, classic", script("keras_notebook", "memory", setting.image_size), key, "classic")]
    for network in setting.networks:
        rows.append(
            Contender(f"Nevus, {network}", script("nevus_scoring", setting.model(network), "memory"), key, network)
        )
        rows += _torch(setting, network, "memory")
    return rows


def files(setting: Setting) -> list[Contender]:
    key, size = "images_per_second", setting.image_size
    rows = [
        Contender("decoding and resizing alone", script("limits", "decode", setting.links, size), key),
        Contender("Keras predict, classic", script("keras_notebook", "files", setting.links, size), key),
    ]
    for network in setting.networks:
        table = setting.work / f"{network}.csv"
        command = script("nevus_scoring", setting.model(network), setting.links, table)
        rows.append(Contender(f"Nevus to CSV, {network}", command, key))
        rows += _torch(setting, network, "files", setting.links)
    return rows


def cold_start(setting: Setting) -> list[Contender]:
    network = setting.networks[-1]
    model = setting.model(network)
    bare = script("bare_cold_start", model, setting.image, setting.image_size)
    keras = script("keras_notebook", "first", model.with_suffix(".keras"), setting.image)
    return [
        Contender(f"bare script, {network}", bare, None),
        Contender(f"nevus predict, {network}", nevus("predict", model, setting.image), None),
        Contender(f"Keras load_model and predict, {network}", keras, None),
    ]


def _torch(setting: Setting, network: str, *task: str | int | Path) -> list[Contender]:
    if find_spec("torch") is None:
        print("  PyTorch is not installed: its rows are left out (pip install torch==2.13.0)", file=sys.stderr)
        return []
    model = setting.model(network).with_suffix(".keras")
    command = script("torch_speed", model, *map(str, task))
    return [Contender(f"PyTorch, {network}", command, "images_per_second", network)]


# A start takes less than a second and varies more: so many times the rounds.
REPEATS = {"cold-start": 5}

PARTS: dict[str, Callable[[Setting], list[Contender]]] = {
    "limits": limits,
    "cold-start": cold_start,
    "scoring": scoring,
    "files": files,
    "training": training,
    "time-to-quality": time_to_quality,
}

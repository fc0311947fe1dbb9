"""Every option of the pipeline, once: its name, type, default, limits and help.

Command-line flags, TOML keys and the documentation are made from the fields of
`Config`. A flag is the field's name with hyphens; a TOML key is the field's name.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from nevus.core.errors import ConfigError
from nevus.core.preprocess import MAX_PIXELS
from nevus.core.pretrained import NONE, are_of_a_run
from nevus.core.vocabulary import BACKBONES, FROM_PRETRAINED, NETWORKS, OPERATING_POINTS, RECIPES

STAGES = ("prepare", "split", "folds", "sources", "train", "evaluate", "export", "stress")


# Under which heading the help lists the options of a stage, unless an option names another.
GROUPS = {
    "prepare": "data",
    "split": "splits",
    "folds": "splits",
    "sources": "splits",
    "train": "training",
    "evaluate": "evaluation",
    "export": "export",
    "stress": "evaluation",
}


@dataclass(frozen=True, slots=True)
class Option:
    """What the command line and the documentation need to know of a field."""

    stage: str
    help: str
    type: type
    group: str = ""
    many: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str | int, ...] = ()
    # Whether it is often set: the help lists such options first in their group.
    common: bool = False


def option(default: Any, stage: str, help: str, type: type, **limits: Any) -> Any:  # noqa: A002 - argparse's names
    """A field of `Config` that is an option; `limits` are the further attributes of `Option`."""
    return field(default=default, metadata={"option": Option(stage, help, type, **limits)})


@dataclass(frozen=True, slots=True)
class Config:
    """The options of a run. A None means that the recipe decides, for training, and 'not asked for' elsewhere."""

    image_size: int = option(128, "prepare", "side in pixels to which images are resized", int, low=16, high=1024)
    malignant: tuple[str, ...] = option(
        (),
        "prepare",
        "diagnosis names that count as malignant; common names are recognised if not given",
        str,
        many=True,
    )
    classes: str = option(
        "auto",
        "prepare",
        "binary: benign and malignant; diagnosis: one class per diagnosis; auto: one class per diagnosis if all "
        "diagnoses are specific and there are three or more, otherwise binary",
        str,
        choices=("auto", "binary", "diagnosis"),
    )
    image_column: str = option("", "prepare", "column of a table that names the image file", str)
    diagnosis_column: str = option("", "prepare", "column of a table that names the diagnosis", str)
    lesion_column: str = option("", "prepare", "column of a table that names the lesion", str)
    patient_column: str = option("", "prepare", "column of a table that names the patient", str)
    split_column: str = option("", "prepare", "column of a table that says train, val or test", str)
    max_pixels: int = option(MAX_PIXELS, "prepare", "width times height above which a file is rejected", int, low=1)
    workers: int = option(0, "prepare", "processes that decode images; 0 for one on each core", int, low=0, high=256)
    val_fraction: float = option(0.15, "split", "share of the images for validation", float, low=0.01, high=0.5)
    test_fraction: float = option(0.15, "split", "share of the images for the test", float, low=0.01, high=0.5)
    folds: int | None = option(None, "folds", "number of cross-validation folds", int, low=2, high=20)
    leave_source_out: bool = option(
        False,
        "sources",
        "test each source with a model trained on the others, then train on all: internal-external cross-validation",
        bool,
    )
    source_column: str = option(
        "", "sources", "manifest column that names an image's source; the folder or file it came from if not given", str
    )
    seed: int = option(0, "train", "seed of the splits, the training and the bootstrap", int, low=0, high=2**31 - 1)
    model: str = option("compact", "train", "network to train", str, choices=NETWORKS, group="network")
    weights: str = option(
        NONE,
        "train",
        "initial weights: imagenet (for a network of Keras, which downloads them), an .h5 file for such a network, "
        "those of an earlier run (its folder or model.keras), or none",
        str,
        group="network",
    )
    recipe: str | None = option(
        None,
        "train",
        "training recipe; if not given, transfer for a network of Keras with --weights, otherwise the network's own",
        str,
        choices=RECIPES,
    )
    teacher: str = option(
        NONE,
        "train",
        "folder of a finished run on the same dataset whose network teaches this one: its probabilities are learned "
        "along with the labels",
        str,
    )
    loss: str = option(
        "cross-entropy",
        "train",
        "training loss; focal down-weights images that are already classified correctly",
        str,
        choices=("cross-entropy", "focal"),
    )
    balance: str = option(
        "class",
        "train",
        "what gets equal weight in training: the classes, or the classes within each source, so that the source does "
        "not give the label away",
        str,
        choices=("class", "source-and-class"),
    )
    label_smoothing: float = option(
        0.0, "train", "share of each label to spread over all classes", float, low=0.0, high=0.5
    )
    metadata: tuple[str, ...] = option(
        (),
        "train",
        "manifest columns that the model can take in addition to the image, such as age sex site; each can be missing",
        str,
        many=True,
        group="network",
    )
    views: int = option(
        1,
        "train",
        "mirrored views to average per image; more accurate, and proportionally slower",
        int,
        choices=(1, 2, 4),
        group="network",
    )
    epochs: int | None = option(None, "train", "maximum number of epochs", int, low=1, high=100_000, common=True)
    batch_size: int | None = option(None, "train", "images per training step", int, low=1, high=65_536, common=True)
    learning_rate: float | None = option(
        None, "train", "highest learning rate of the schedule", float, low=1e-9, high=10.0, common=True
    )
    operating_point: str = option(
        "sensitivity-95",
        "evaluate",
        "operating point for decisions unless another is requested",
        str,
        choices=OPERATING_POINTS,
    )
    prevalence: float | None = option(
        None,
        "evaluate",
        "prevalence of malignancy in the screening population, such as 0.0176; adds the metrics for it",
        float,
        low=0.0001,
        high=0.9999,
    )
    bootstrap: int = option(2000, "evaluate", "number of bootstrap resamples", int, low=100, high=100_000)
    stress_images: int = option(
        200,
        "stress",
        "test images on which to count the decisions that flip when the picture changes; 0 for none",
        int,
        low=0,
    )
    licence: str | None = option(
        None,
        "export",
        "licence of the trained weights, such as CC-BY-NC-4.0, written to the model file and the model card",
        str,
    )

    def __post_init__(self) -> None:
        for name, opt in options().items():
            _check("--" + name.replace("_", "-"), opt, getattr(self, name))
        if self.weights != NONE and not are_of_a_run(self.weights) and self.model not in BACKBONES:
            raise ConfigError(
                f"--weights {self.weights}: no pretrained weights fit the network '{self.model}'. Expected --model to "
                f"be one of {', '.join(BACKBONES)}, or the folder of an earlier run of '{self.model}'."
            )
        if self.licence is not None and not (self.licence.isprintable() and self.licence.strip()):
            raise ConfigError(
                f"--licence: expected a name in one line, such as CC-BY-NC-4.0. Received: {self.licence[:40]!r}."
            )
        if self.recipe in FROM_PRETRAINED and self.weights == NONE:
            raise ConfigError(
                f"--recipe {self.recipe} begins with pretrained features. "
                "Name them with --weights imagenet or --weights FILE."
            )
        if self.recipe in FROM_PRETRAINED and self.model not in BACKBONES:
            raise ConfigError(
                f"--recipe {self.recipe} trains a network of Keras stage by stage, and '{self.model}' is not one. "
                f"Expected another recipe, or --model to be one of {', '.join(BACKBONES)}."
            )
        if len(set(self.metadata)) < len(self.metadata):
            raise ConfigError(f"--metadata {' '.join(self.metadata)}: a column is named twice. Name each once.")
        if self.folds and self.leave_source_out:
            raise ConfigError("--folds does not go with --leave-source-out: the sources are the folds. Leave one out.")
        self._check_fractions()

    def _check_fractions(self) -> None:
        """Refuses here what the splits would refuse only after an hour of preparation."""
        if self.val_fraction + self.test_fraction >= 1:
            raise ConfigError(
                "--val-fraction and --test-fraction: expected a sum below 1, so that images are left to train on. "
                f"Received: {self.val_fraction} and {self.test_fraction}."
            )
        if self.folds and self.val_fraction >= 1 - 1 / self.folds:
            raise ConfigError(
                f"--val-fraction with --folds {self.folds}: expected below {1 - 1 / self.folds:.3g}, so that images "
                f"are left to train on. Received: {self.val_fraction}."
            )

    def to_json(self) -> dict[str, Any]:
        """Every option by its name, as `config.json` holds it; weights and teacher without the folders they lie in."""
        return {**asdict(self), "weights": Path(self.weights).name, "teacher": Path(self.teacher).name}


def options() -> dict[str, Option]:
    """The options by field name, in the order in which they are documented."""
    return {f.name: f.metadata["option"] for f in fields(Config)}


def grouped_options() -> dict[str, list[str]]:
    """The names of the options by the group under which the help lists them, in the order of the pipeline.

    Within a group the common ones come first.
    """
    groups: dict[str, list[str]] = {
        group: [] for group in ("data", "splits", "network", "training", "evaluation", "export")
    }
    for name, one in sorted(options().items(), key=lambda item: not item[1].common):
        groups[one.group or GROUPS[one.stage]].append(name)
    return groups


def changed_options(before: Config, now: Config, but: Collection[str] = ()) -> list[str]:
    """'NAME was OLD, now NEW' for each option that differs, except those of the stages `but`.

    The number of workers is never among them: no result depends on it, and another machine has another.
    """
    old, new = before.to_json(), now.to_json()
    return [
        f"{name} was {old[name]!r}, now {new[name]!r}"
        for name, option in options().items()
        if option.stage not in but and name != "workers" and old[name] != new[name]
    ]


def make_config(
    flags: Mapping[str, Any], toml_file: Path | None = None, fallbacks: Mapping[str, Any] | None = None
) -> Config:
    """Builds the configuration: defaults, then fallbacks, then the TOML file, then flags.

    Args:
        flags: values given on the command line by field name; only those given.
        toml_file: a TOML file with field names as keys, or None.
        fallbacks: values that replace the defaults, by field name.

    Raises:
        ConfigError: a key is unknown (the nearest is named), or a value is of the wrong type or out of range.
    """
    values = {**(fallbacks or {}), **(_read_toml(toml_file) if toml_file else {}), **flags}
    return Config(**_with_tuples(values))


def config_from_json(data: Mapping[str, Any]) -> Config:
    """Reads back what `Config.to_json` wrote."""
    return Config(**_checked("config.json", data))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ConfigError(f"{path}: {problem.strerror}. Expected a TOML file with options.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} is not valid TOML: {problem}.") from None
    return _checked(str(path), data)


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(item) if isinstance(item, list) else item for name, item in values.items()}


def _checked(where: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a file holds, its lists as tuples; an error names the file and the key."""
    known = options()
    values = _with_tuples(data)
    for key, value in values.items():
        if key not in known:
            nearest = difflib.get_close_matches(key.replace("-", "_"), known, n=1, cutoff=0.5)
            advice = f"Did you mean '{nearest[0]}'?" if nearest else f"Expected one of: {', '.join(known)}."
            raise ConfigError(f"{where}: unknown key '{key}'. {advice}")
        _check(f"{where}: {key}", known[key], value)
    return values


def _check(what: str, opt: Option, value: Any) -> None:
    if value is None:
        return
    items = value if opt.many else (value,)
    if not isinstance(items, tuple) or not all(_is_a(item, opt.type) for item in items):
        wanted = {
            int: "a whole number",
            float: "a number",
            bool: "true or false",
            str: "a list of strings" if opt.many else "a string",
        }[opt.type]
        raise ConfigError(f"{what}: expected {wanted}. Received: {value!r}.")
    for item in items:
        if opt.choices and item not in opt.choices:
            names = list(map(str, opt.choices))
            nearest = difflib.get_close_matches(str(item), names, n=1)
            hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
            raise ConfigError(f"{what}: expected one of {', '.join(names)}. Received: '{item}'.{hint}")
        low, high = (-math.inf if opt.low is None else opt.low), (math.inf if opt.high is None else opt.high)
        if opt.type is not str and not low <= item <= high:
            bounds = f"{opt.low:g} or more" if opt.high is None else f"{opt.low:g} to {opt.high:g}"
            raise ConfigError(f"{what}: expected {bounds}. Received: {item!r}.")


def _is_a(value: Any, wanted: type) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)


DEFAULTS = Config()

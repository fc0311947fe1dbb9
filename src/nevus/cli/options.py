"""Command-line flags made from the fields of `Config`, so that an option is described once."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from nevus.core.config import DEFAULTS, Config, Option, grouped_options, make_config, options

# Options of preparation for a model that is there: the image size and the classes are its own.
OF_LABELLED_IMAGES = (
    "malignant",
    "image_column",
    "diagnosis_column",
    "lesion_column",
    "patient_column",
    "split_column",
    "max_pixels",
    "workers",
)

# Characters of a list of choices; longer ones are in the help, not in the usage.
_LONGEST = 80


def add_config_flags(
    parser: argparse.ArgumentParser, *stages: str, fallbacks: Mapping[str, object] | None = None
) -> None:
    """Adds `--config` and a flag for each option of the given stages; flags not given stay absent.

    Args:
        parser: of a command.
        stages: or names of single options.
        fallbacks: what is in the help as the default of an option of the command's own.
    """
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with options; flags take precedence")
    described = options()
    for group, names in grouped_options().items():
        asked = [name for name in names if described[name].stage in stages or name in stages]
        section = parser.add_argument_group(group) if asked else parser
        for name in asked:
            _add_flag(section, name, described[name], (fallbacks or {}).get(name, getattr(DEFAULTS, name)))


def add_model_and_data(parser: argparse.ArgumentParser, images: str, further: str = "") -> None:
    """Adds `model_file` and `data`: a finished model, and labelled images.

    Their names are not those of options of training.

    Args:
        parser: of a command.
        images: what the images are, such as 'labelled images from elsewhere'.
        further: what else may stand in place of them.
    """
    parser.add_argument(
        "model_file",
        metavar="model",
        help="a shipped model (see 'nevus models'), a model.onnx that 'nevus export' wrote, or a run's folder",
    )
    parser.add_argument(
        "data",
        type=Path,
        nargs="+",
        help=f"{images}: one or more sources that 'nevus prepare' reads, or a prepared dataset{further}",
    )


def _add_flag(section: argparse._ActionsContainer, name: str, option: Option, default: object) -> None:
    flag = "--" + name.replace("_", "-")
    if option.type is bool:
        section.add_argument(flag, dest=name, action="store_true", default=argparse.SUPPRESS, help=option.help)
        return
    unset = "the recipe's" if option.stage == "train" and default is None else "none"
    shown = unset if default in (None, (), "") else default
    choices, description = ",".join(map(str, option.choices)), option.help
    metavar = "{" + choices + "}" if choices else name.upper()
    if len(choices) > _LONGEST:
        metavar, description = name.upper(), f"{description}: {choices.replace(',', ', ')}"
    section.add_argument(
        flag,
        dest=name,
        type=option.type,
        nargs="+" if option.many else None,
        metavar=metavar,
        default=argparse.SUPPRESS,
        help=f"{description} (default: {shown})",
    )


def config_of(arguments: argparse.Namespace, **fallbacks: object) -> Config:
    """The configuration that the flags, the TOML file, `fallbacks` and the defaults give, in that order.

    Raises:
        ConfigError: a key or value cannot be used.
    """
    flags = {name: value for name, value in vars(arguments).items() if name in options()}
    return make_config(flags, arguments.config, fallbacks)

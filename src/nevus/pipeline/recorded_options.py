"""The options in a run's `config.json`: read by the stages after the training, and kept up to date by them."""

from __future__ import annotations

from nevus.core.config import DEFAULTS, Config, config_from_json, options
from nevus.core.files import read_json, write_json
from nevus.core.runs import Run

_TRAIN_FIRST = "Run 'nevus train' first."


def recorded_options(run: Run) -> Config:
    """The options that a run was made and last evaluated with; the defaults if it has none."""
    return config_from_json(read_json(run.config_json, _TRAIN_FIRST)) if run.config_json.exists() else DEFAULTS


def record_evaluation(run: Run, config: Config) -> None:
    """Writes the options of an evaluation into `config.json`."""
    now = config.to_json()
    _record(run, **{name: now[name] for name, option in options().items() if option.stage == "evaluate"})


def record_licence(run: Run, config: Config) -> None:
    """Writes the licence of the weights into `config.json`; one that was stated before stays if there is none now."""
    if config.licence:
        _record(run, licence=config.licence)


def _record(run: Run, **changes: object) -> None:
    write_json(run.config_json, {**read_json(run.config_json, _TRAIN_FIRST), **changes})

import json
from pathlib import Path
from typing import Any

import pytest

from nevus.core.config import STAGES, Config, changed_options, config_from_json, grouped_options, make_config, options
from nevus.core.errors import ConfigError


def test_flags_win_over_the_file_and_the_file_over_fallbacks_and_defaults(tmp_path: Path) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text('epochs = 5\nseed = 7\nmalignant = ["mel"]\nlearning_rate = 1')
    config = make_config({"seed": 9}, toml, {"epochs": 3, "image_size": 64})
    assert (config.epochs, config.seed, config.malignant, config.image_size) == (5, 9, ("mel",), 64)
    assert config.learning_rate == 1
    assert config.val_fraction == Config().val_fraction


@pytest.mark.parametrize(
    ("key", "nearest"), [("epoch", "epochs"), ("batch-size", "batch_size"), ("lerning_rate", "learning_rate")]
)
def test_unknown_key_is_an_error_that_names_the_nearest(tmp_path: Path, key: str, nearest: str) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text(f"{key} = 1")
    with pytest.raises(ConfigError, match=f"unknown key '{key}'. Did you mean '{nearest}'"):
        make_config({}, toml)


def test_key_like_no_other_lists_all(tmp_path: Path) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text("zzz = 1")
    with pytest.raises(ConfigError, match="Expected one of: image_size, malignant, classes, image_column"):
        make_config({}, toml)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", 8),
        ("image_size", "128"),
        ("image_size", True),
        ("val_fraction", 0.9),
        ("val_fraction", float("nan")),
        ("model", "clasic"),
        ("malignant", "mel"),
        ("malignant", (1,)),
        ("learning_rate", 0.0),
        ("epochs", 1.5),
    ],
)
def test_wrong_values_name_the_flag_and_what_was_received(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: expected .*Received"):
        make_config({name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"metadata": ("age", "age")}, "--metadata age age: a column is named twice"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "expected a sum below 1"),
        ({"val_fraction": 0.5, "folds": 2}, "--val-fraction with --folds 2: expected below 0.5"),
    ],
)
def test_values_that_cannot_go_together_are_refused_at_once(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(values)


def test_options_that_no_result_depends_on_do_not_count_as_changed() -> None:
    before, now = Config(), Config(workers=3, epochs=4, bootstrap=300)
    assert changed_options(before, now) == ["epochs was None, now 4", "bootstrap was 2000, now 300"]
    assert changed_options(before, now, but=("evaluate",)) == ["epochs was None, now 4"]


@pytest.mark.parametrize("text", ["epochs = ", b"\xff\xfe"])
def test_damaged_toml_is_an_error(tmp_path: Path, text: str | bytes) -> None:
    toml = tmp_path / "run.toml"
    toml.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match="not valid TOML"):
        make_config({}, toml)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('epochs = "three"', "epochs: expected a whole number. Received: 'three'"),
        ("learning_rate = true", "learning_rate: expected a number. Received: True"),
        ("model = 1", "model: expected a string. Received: 1"),
        ('malignant = "mel"', "malignant: expected a list of strings. Received: 'mel'"),
        ("image_size = 8", "image_size: expected 16 to 1024. Received: 8"),
    ],
)
def test_a_wrong_value_in_a_file_is_named_with_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text(text)
    with pytest.raises(ConfigError) as error:
        make_config({}, toml)
    assert str(error.value).startswith(f"{toml}: {message}")


def test_common_options_come_first_in_their_group() -> None:
    for names in grouped_options().values():
        common = [options()[name].common for name in names]
        assert common == sorted(common, reverse=True)
    assert grouped_options()["training"][0] == "epochs"


def test_missing_toml_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        make_config({}, tmp_path / "none.toml")


def test_config_survives_json() -> None:
    config = make_config({"malignant": ("a", "b"), "epochs": 4})
    assert config_from_json(json.loads(json.dumps(config.to_json()))) == config


def test_every_option_has_help_and_a_stage() -> None:
    for name, option in options().items():
        assert option.help, name
        assert option.stage in STAGES, name

"""What is known of a lesion in addition to its picture, such as age, sex and site, as a model takes it.

Owns how texts become numbers: a value each (`value_of`), which a model file takes, and the
row of its encoding (`encode`), which the dense layer behind it sees. The graph of a model file
encodes for itself, by the same formulas. It must not know networks or files.

Any value may be missing: NaN. What is missing is told to the model by an indicator of its own
and adds nothing else, so that 'not known' is not a guess at an average patient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import ConfigError, DataError
from nevus.core.labels import normalise

Values = NDArray[np.float32]

# How tables write that something is not known.
_MISSING = frozenset({"", "unknown", "na", "n/a", "nan", "none", "null"})

# With this many different texts a column is a name, not a category of lesions.
MAX_CATEGORIES = 64

# A number so many standard deviations from the mean of the training images counts as that far, and no further.
FURTHEST = 3.0


@dataclass(frozen=True, slots=True)
class Variable:
    """One thing that is known besides the picture; how it is encoded was decided on the training images.

    Attributes:
        name: of the manifest's column.
        categories: in the order of their codes, in the form of `labels.normalise`; empty for a number.
        centre: mean of a number; 0 for categories.
        scale: standard deviation of a number, above 0; 1 for categories.
    """

    name: str
    categories: tuple[str, ...] = ()
    centre: float = 0.0
    scale: float = 1.0

    @property
    def is_number(self) -> bool:
        """Whether it is a number rather than one of several categories."""
        return not self.categories

    @property
    def size(self) -> int:
        """Numbers in its encoding: missing or not, then the scaled number, or one for each category."""
        return 2 if self.is_number else 1 + len(self.categories)


@dataclass(frozen=True, slots=True, eq=False)
class ClinicalHead:
    """What clinical values add to the logits of an image: one dense layer without a bias, added to that of the image.

    Attributes:
        variables: M of them.
        weights: float32 [D, U], a row for each number of the encoding; U is 1 (the logit of the second of two
            classes) or the number of classes.
    """

    variables: tuple[Variable, ...]
    weights: Values

    def logits(self, values: Values) -> NDArray[np.float64]:
        """float64 [N, U]: what is added to the logits of images with these values, float32 [N, M]."""
        encoded = encode(self.variables, values).astype(np.float64)
        return np.asarray(encoded @ self.weights.astype(np.float64))

    def to_json(self) -> list[dict[str, Any]]:
        """The variables, each with its weights by the names of its rows, for people and for `from_json`."""
        rows = iter(self.weights.tolist())
        return [
            {**described, "weights": {name: next(rows) for name in _row_names(variable)}}
            for variable, described in zip(self.variables, to_json(self.variables), strict=True)
        ]

    @classmethod
    def from_json(cls, data: Sequence[Mapping[str, Any]]) -> ClinicalHead:
        """Reads what `to_json` gave."""
        variables = from_json(data)
        rows = [one["weights"][name] for one, v in zip(data, variables, strict=True) for name in _row_names(v)]
        return cls(variables, np.array(rows, dtype=np.float32))


def known(value: str) -> str:
    """A text without blanks around it; empty where it says in one of the usual ways that nothing is known."""
    return "" if value.strip().lower() in _MISSING else value.strip()


def learn_variables(names: Sequence[str], columns: Mapping[str, Sequence[str]]) -> tuple[Variable, ...]:
    """Decides how columns are encoded: a number if every known cell is one, else a category for each text.

    Args:
        names: of the columns to use.
        columns: the cells of the training images, by name.

    Raises:
        DataError: a column is not there, has no known cell, or has too many texts to be categories.
    """
    return tuple(_learn(name, columns) for name in names)


def value_of(variable: Variable, given: str | float | None) -> float:
    """The value of a variable as a model file takes it: the number, or the code of the category; NaN if missing.

    Args:
        variable: gives the categories.
        given: a text or a number; None, an empty text or 'unknown' for what is not known.

    Raises:
        ConfigError: it is not a number, or none of the categories.
    """
    text = known(str(given)) if given is not None else ""
    if not text:
        return math.nan
    if variable.is_number:
        number = _number(text)
        if math.isnan(number):
            raise ConfigError(f"{variable.name}: expected a number, or nothing if it is not known. Received: '{text}'.")
        return number
    if normalise(text) not in variable.categories:
        names = ", ".join(variable.categories)
        raise ConfigError(
            f"{variable.name}: expected one of {names}, or nothing if it is not known. Received: '{text}'."
        )
    return float(variable.categories.index(normalise(text)))


def values_of(variables: Sequence[Variable], given: Mapping[str, Any] | None) -> Values:
    """float32 [M]: the values of one image by `value_of`; what is not given is missing.

    Raises:
        ConfigError: as `value_of`, and for a name that is none of the variables'.
    """
    given = given or {}
    unknown = set(given) - {variable.name for variable in variables}
    if unknown:
        names = ", ".join(variable.name for variable in variables)
        raise ConfigError(
            f"metadata '{min(unknown)}': "
            + (f"the model takes {names}." if variables else "the model takes pixels alone.")
        )
    return np.array([value_of(variable, given.get(variable.name)) for variable in variables], dtype=np.float32)


def parse_pairs(text: str) -> dict[str, str]:
    """What is given as `age=55,sex=female`, by name.

    Raises:
        ConfigError: a part of it has no equals sign, or a name is there twice.
    """
    given: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or name.strip() in given:
            raise ConfigError(f"metadata: expected names with values, as in age=55,sex=female. Received: '{text}'.")
        given[name.strip()] = value.strip()
    return given


def values_of_cells(variables: Sequence[Variable], columns: Mapping[str, Sequence[str]], num_images: int) -> Values:
    """float32 [N, M]: the values of a dataset's images; a category that training did not have is missing.

    Args:
        variables: M of them.
        columns: N cells by name.
        num_images: N.
    """
    values = np.full((num_images, len(variables)), np.nan, dtype=np.float32)
    for place, variable in enumerate(variables):
        for row, cell in enumerate(columns[variable.name]):
            text = known(cell)
            if variable.is_number or normalise(text) in variable.categories:
                values[row, place] = value_of(variable, text)
    return values


def encode(variables: Sequence[Variable], values: Values) -> Values:
    """What the dense layer sees of values.

    For each variable an indicator that it is missing (1 or 0), then for a number (x - centre) / scale, at most
    `FURTHEST` from 0, and for categories a 1 at the place of its code; zeros if it is missing.

    Args:
        variables: M of them.
        values: float32 [N, M], NaN for what is missing.

    Returns:
        float32 [N, D], where D is the sum of the variables' sizes.
    """
    parts = [np.zeros((len(values), 0))]
    for place, variable in enumerate(variables):
        column = values[:, [place]]
        missing = np.isnan(column)
        if variable.is_number:
            scaled = np.clip((column - variable.centre) / variable.scale, -FURTHEST, FURTHEST)
            parts += [missing, np.where(missing, 0.0, scaled)]
        else:
            parts += [missing, column == np.arange(len(variable.categories))]
    return np.concatenate(parts, axis=1).astype(np.float32)


def to_json(variables: Iterable[Variable]) -> list[dict[str, Any]]:
    """Variables as JSON: what a number's scaling is, or which categories there are."""
    return [
        {"name": one.name, "kind": "number", "centre": one.centre, "scale": one.scale}
        if one.is_number
        else {"name": one.name, "kind": "category", "categories": list(one.categories)}
        for one in variables
    ]


def from_json(data: Iterable[Mapping[str, Any]]) -> tuple[Variable, ...]:
    """Variables from JSON, which may be hostile.

    Raises:
        ValueError: a field is missing or wrong.
    """
    variables = []
    for one in data:
        name, kind = str(one["name"]), one["kind"]
        if kind == "number":
            variable = Variable(name, centre=float(one["centre"]), scale=float(one["scale"]))
            if not (math.isfinite(variable.centre) and math.isfinite(variable.scale) and variable.scale > 0):
                raise ValueError(f"variable '{name}' has no finite centre, or no scale above 0")
        elif kind == "category":
            variable = Variable(name, tuple(map(str, one["categories"])))
            if not 0 < len(variable.categories) <= MAX_CATEGORIES:
                raise ValueError(f"variable '{name}' has not 1 to {MAX_CATEGORIES} categories")
        else:
            raise ValueError(f"variable '{name}' is of the unknown kind '{kind}'")
        variables.append(variable)
    if len({variable.name for variable in variables}) != len(variables):
        raise ValueError("two variables have one name")
    return tuple(variables)


def _row_names(variable: Variable) -> tuple[str, ...]:
    """Of the numbers in a variable's encoding. A category cannot be called 'missing': it has no blank in front."""
    return (" missing", " per standard deviation") if variable.is_number else (" missing", *variable.categories)


def _learn(name: str, columns: Mapping[str, Sequence[str]]) -> Variable:
    if name not in columns:
        there = f"It has: {', '.join(columns)}." if columns else "It has none."
        raise DataError(f"--metadata: the manifest has no column '{name}'. {there}")
    texts = [text for cell in columns[name] if (text := known(cell))]
    if not texts:
        raise DataError(f"--metadata: column '{name}' is empty for all training images. Leave it out.")
    numbers = np.array([_number(text) for text in texts])
    if not np.isnan(numbers).any():
        return Variable(name, centre=float(numbers.mean()), scale=float(numbers.std()) or 1.0)
    categories = sorted({normalise(text) for text in texts})
    if len(categories) > MAX_CATEGORIES:
        raise DataError(
            f"--metadata: column '{name}' has {len(categories):,} different texts. Expected at most {MAX_CATEGORIES}, "
            "or numbers. Leave it out."
        )
    return Variable(name, tuple(categories))


def _number(text: str) -> float:
    """The finite number that a text says; NaN if it says none."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan

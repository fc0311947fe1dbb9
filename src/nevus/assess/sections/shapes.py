"""JSON of earlier stages, checked against the shape that its reader relies on.

Owns how a shape is written down, and the error for a value that does not fit. It
must not know any file's contents. A shape is a checker from this module, a list with
the shape of every item, a dictionary with the shape of each field, or `{"*": shape}`
for any names. A field whose name ends in `?` may be absent or null, and is then None.
Fields that a shape does not name are left out.
"""

from __future__ import annotations

import math
from typing import Any

from nevus.core.errors import RunError
from nevus.core.estimate import Estimate


def number(value: Any) -> float:
    """A number; null, as which JSON holds what cannot be known, becomes NaN."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isinf(value):
        raise ValueError("a finite number or null")
    return float(value)


def known(value: Any) -> float:
    """A number that cannot be null."""
    known_number = number(value)
    if math.isnan(known_number):
        raise ValueError("a finite number")
    return known_number


def positive(value: Any) -> float:
    """A number above 0."""
    positive_number = number(value)
    if not positive_number > 0:
        raise ValueError("a number above 0")
    return positive_number


def count(value: Any) -> int:
    """A whole number of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a whole number of 0 or more")
    return value


def text(value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def estimated(value: Any) -> Estimate:
    """A metric with its interval, {value, low, high}."""
    if not isinstance(value, dict) or value.keys() != {"value", "low", "high"}:
        raise ValueError("an estimate {value, low, high}")
    return Estimate(*(number(value[end]) for end in ("value", "low", "high")))


def anything(value: Any) -> Any:
    """Any value, as it is: for what is shown and not worked with."""
    return value


def parsed(value: Any, shape: Any, where: str, advice: str) -> Any:
    """A JSON value in the form that `shape` gives it.

    Args:
        value: as `json.loads` gave it.
        shape: see the module's docstring.
        where: names the value in errors: a file, then the way into it.
        advice: how to make the file again, the end of the error message ("Run 'nevus evaluate' again.").

    Raises:
        RunError: a field is missing or of the wrong type.
    """
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise _wrong(where, "a list", value, advice)
        return [parsed(item, shape[0], f"{where}[{index}]", advice) for index, item in enumerate(value)]
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise _wrong(where, "an object with named fields", value, advice)
        if "*" in shape:
            return {name: parsed(item, shape["*"], f"{where}: {name}", advice) for name, item in value.items()}
        return {name.rstrip("?"): _field(value, name, inner, where, advice) for name, inner in shape.items()}
    try:
        return shape(value)
    except ValueError as expected:
        raise _wrong(where, str(expected), value, advice) from None


def _field(value: dict[str, Any], name: str, shape: Any, where: str, advice: str) -> Any:
    key = name.rstrip("?")
    if name != key and value.get(key) is None:
        return None
    if key not in value:
        raise RunError(f"{where} lacks a field '{key}'. {advice}")
    return parsed(value[key], shape, f"{where}: {key}", advice)


def _wrong(where: str, expected: str, value: Any, advice: str) -> RunError:
    received = repr(value)
    shown = received if len(received) <= 60 else f"{received[:60]}..."
    return RunError(f"{where}: expected {expected}. Received: {shown}. {advice}")

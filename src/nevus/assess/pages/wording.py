"""Values as a person would write them: the words that the report, the card and the checklists share."""

from __future__ import annotations

import math
from typing import Any

from nevus.core.estimate import Estimate, value_text


def small_risk(value: float) -> str:
    """A risk with three decimals; never 0 or 1 when it is not."""
    if 0 < value < 0.0005:
        return "below 0.001"
    return "above 0.999" if 0.9995 <= value < 1 else value_text(value)


def of_hundred(share: float) -> str:
    """A share of [0, 1] as a count of a hundred; never rounded to all or none when it is not."""
    if math.isnan(share):
        return "an unknown number"
    if 0 < share <= 0.005:
        return "fewer than 1"
    if 0.995 <= share < 1:
        return "more than 99"
    return f"{100 * share:.0f}"


def filled_squares(share: float) -> int:
    """How many of a hundred squares stand for a share of [0, 1]; all or none only if it is."""
    return round(100 * share) if share in (0, 1) else min(99, max(1, round(100 * share)))


def percent_text(share: Estimate) -> str:
    """A share of [0, 1] with its interval, in percent: '4.2 % (2.6 to 6.8)'."""
    ends = "" if math.isnan(share.low) else f" ({100 * share.low:.1f} to {100 * share.high:.1f})"
    return f"{100 * share.value:.1f} %{ends}"


def plain(value: Any) -> str:
    """A value of a JSON file as a person would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{name.replace('_', ' ')} {plain(item)}" for name, item in value.items()) or "none"
    return str(value)

"""A metric with its interval: the form in which every metric travels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point estimate and its 95 % interval.

    Attributes:
        value: the point estimate; NaN where it is not defined (a class is absent, say).
        low: lower end of the interval; NaN where there is none.
        high: upper end of the interval; NaN where there is none.
    """

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """The fields as JSON holds them."""
        return {"value": self.value, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Estimate:
        """Reads what `to_json` gave."""
        return cls(*(float("nan") if data[key] is None else float(data[key]) for key in ("value", "low", "high")))

    def __str__(self) -> str:
        return self.text()

    def text(self, sign: str = "") -> str:
        """The metric with its interval, as a cell of a table: '0.950 (0.931 to 0.964)'.

        Args:
            sign: '+' for a difference, so that a positive one has its sign too.
        """
        if math.isnan(self.value):
            return value_text(self.value)
        if math.isnan(self.low) or math.isnan(self.high):
            return f"{value_text(self.value, sign)} (no interval)"
        return f"{value_text(self.value, sign)} ({value_text(self.low, sign)} to {value_text(self.high, sign)})"


def value_text(value: float, sign: str = "") -> str:
    """A value with three decimals, never '-0.000'; 'not defined' if it is NaN. `sign` as for `Estimate.text`."""
    return "not defined" if math.isnan(value) else f"{value:{sign}z.3f}"

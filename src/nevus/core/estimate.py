"""A figure with its interval: the form in which every metric travels."""

from __future__ import annotations

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
        return {"value": self.value, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Estimate:
        return cls(*(float("nan") if data[key] is None else float(data[key]) for key in ("value", "low", "high")))

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

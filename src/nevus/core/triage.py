"""Triage in three: low, uncertain and high risk, from a rule-out and a rule-in threshold.

Owns what the two thresholds mean; they are chosen in `nevus.assess.sections.triage`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

BANDS = ("low", "uncertain", "high")


@dataclass(frozen=True, slots=True)
class Triage:
    """The two thresholds of a triage, chosen on images that no test looks at.

    Attributes:
        rule_out: in [0, 1]: a risk below it is low.
        rule_in: `rule_out` or more: a risk at or over it is high; NaN if no threshold is specific enough, when
            none is.
    """

    rule_out: float
    rule_in: float

    @property
    def has_uncertain_band(self) -> bool:
        """False if one threshold does for both rules."""
        return self.rule_in != self.rule_out

    def band(self, risk: float) -> str:
        """The one of `BANDS` in which `risk`, in [0, 1], lies; uncertain ones are for a person to look at."""
        if risk < self.rule_out:
            return "low"
        return "high" if risk >= self.rule_in else "uncertain"

    def to_json(self) -> dict[str, float]:
        """The fields as JSON holds them."""
        return {"rule_out": self.rule_out, "rule_in": self.rule_in}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Triage:
        """Reads what `to_json` gave.

        Raises:
            ValueError: a threshold lies outside [0, 1], or they cross.
        """
        rule_out = float(data["rule_out"])
        rule_in = math.nan if data["rule_in"] is None else float(data["rule_in"])
        if not 0.0 <= rule_out <= 1.0 or not (math.isnan(rule_in) or rule_out <= rule_in <= 1.0):
            raise ValueError(f"triage from {rule_out} to {rule_in} is not a band within [0, 1]")
        return cls(rule_out, rule_in)

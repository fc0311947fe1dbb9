"""Familiarity: how much an image is like those that a model learned from, and below what it is called unfamiliar.

A model file answers it as a share: of the validation images, which the model was not trained on, those that are less
like the training images than this one. Owns what the limit means; how the share is found is in
`nevus.learn.export.familiarity`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# The share of the validation images that are called unfamiliar.
UNFAMILIAR_SHARE = 0.02

# What people read beside the risk of an unfamiliar image, and what follows from it.
UNFAMILIAR = "unlike the images this model learned from"
WHAT_FOLLOWS = "It is not known how often the model is right on such images: do not rely on its risk."


@dataclass(frozen=True, slots=True)
class FamiliarityLimit:
    """Below which familiarity an image is unlike those that a model learned from.

    Attributes:
        limit: in (0, 1): the least familiarity of a familiar image.
        fitted_on: the split whose images the shares are of: those of `val` were not trained on.
        num_images: how many there were.
        num_groups: how many lesions, patients or sets of duplicates they were of; each counted once.
    """

    limit: float
    fitted_on: str
    num_images: int
    num_groups: int

    def is_unfamiliar(self, familiarity: float) -> bool:
        """True if `familiarity`, in [0, 1], is below the limit."""
        return familiarity < self.limit

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return {
            "limit": self.limit,
            "comparison": "<",
            "fitted_on": self.fitted_on,
            "num_images": self.num_images,
            "num_groups": self.num_groups,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FamiliarityLimit:
        """Reads what `to_json` gave.

        Raises:
            ValueError: the limit does not lie between 0 and 1.
        """
        limit = float(data["limit"])
        if not 0.0 < limit < 1.0:
            raise ValueError(f"a limit of familiarity of {limit} does not lie between 0 and 1")
        return cls(limit, str(data["fitted_on"]), int(data["num_images"]), int(data["num_groups"]))

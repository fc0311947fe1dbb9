"""What is asked of images, what a model answers, and what that says of an image: risk, decision and triage.

Asks no model itself: `predictor` does, and `http.scoring`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import ImageError, NevusError
from nevus.core.modelfile import ModelSpec
from nevus.core.operating_point import OperatingPoint
from nevus.core.prevalence import check_prevalence, rebase
from nevus.serve.quality import CODES


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one image, or why it says nothing. Not a diagnosis.

    Attributes:
        source: the path of the image, or 'image 3' for the third one given from memory.
        risk: probability of the malignant classes, in [0, 1]; None if there is an error.
        decision: True if the risk is at or over the operating point's threshold: malignant; None if there is an error.
        operating_point: name of the operating point that decided.
        probabilities: class name to probability; empty if there is an error.
        triage: 'low', 'uncertain' or 'high', by the model's two thresholds; None if there is an error.
        prevalence: the share of malignant lesions that was asked for, in (0, 1); None if none was.
        risk_at_prevalence: the risk re-based to the prevalence asked for, by Bayes' theorem; None unless asked for.
        heatmap: float32 [map_height, map_width], what raises the risk (positive) and what lowers it
            (negative), over the whole image; None unless asked for.
        familiarity: the share, in [0, 1], of the model's validation images that are less like its training images than
            this one; None if the model does not tell, or there is an error.
        unfamiliar: True if that is below the model's limit: the image is unlike those that the model learned from, and
            how often its answer is right there is not known; None where familiarity is.
        error: why there is no answer for the image; None if there is one.
        error_code: the same in a word, for programs: 'too_small', 'too_blurred' or 'not_dermoscopic' if the check
            refused it; 'not_readable', 'too_many_pixels', 'blank' or 'unknown_metadata' if it could not be used;
            'unavailable' if the machine failed, which says nothing of the image.
        note: what to know of how the file was read, such as that its end marker is missing; empty if nothing.
    """

    source: str
    risk: float | None
    decision: bool | None
    operating_point: str
    # Neither a dictionary nor an array can be hashed; equal predictions have equal hashes without them.
    probabilities: dict[str, float] = field(hash=False)
    triage: str | None = None
    prevalence: float | None = None
    risk_at_prevalence: float | None = None
    heatmap: NDArray[np.float32] | None = field(default=None, hash=False)
    familiarity: float | None = None
    unfamiliar: bool | None = None
    error: str | None = None
    error_code: str | None = None
    note: str = ""

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal, each value of the heatmap among them."""
        if not isinstance(other, Prediction):
            return NotImplemented
        return all(_are_equal(getattr(self, one.name), getattr(other, one.name)) for one in fields(self))

    @property
    def decided(self) -> Literal["malignant", "benign"] | None:
        """The decision in a word."""
        return None if self.decision is None else "malignant" if self.decision else "benign"

    @property
    def refused(self) -> bool:
        """Whether the check refused the image: it could be read, and the model was not asked."""
        return self.error_code in CODES


def _are_equal(first: object, second: object) -> bool:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    # Comparing an array with None would compare each of its values.
    return type(first) is type(second) and first == second


class Answer(NamedTuple):
    """What a model answers for one image: probabilities float32 [C], risk, heatmap float32 [h, w], familiarity.

    The heatmap is None unless it was asked for, familiarity where the model does not tell it.
    """

    probabilities: NDArray[np.float32]
    risk: np.float32
    heatmap: NDArray[np.float32] | None
    familiarity: np.float32 | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller wants to know of each image.

    Attributes:
        spec: of the model that is asked.
        point: the operating point that decides.
        prevalence: share of malignant lesions to re-base the risk to, in (0, 1); None for none.
        heatmap: whether to return heatmaps.
    """

    spec: ModelSpec
    point: OperatingPoint
    prevalence: float | None
    heatmap: bool

    @classmethod
    def of(cls, spec: ModelSpec, operating_point: str | None, prevalence: float | None, heatmap: bool) -> Question:
        """Checks what is asked against the model; without the name of an operating point its default decides.

        Raises:
            ModelFileError: the model has no such operating point.
            ConfigError: the prevalence does not lie between 0 and 1.
        """
        if prevalence is not None:
            check_prevalence(prevalence)
        return cls(spec, spec.operating_point(operating_point), prevalence, heatmap)

    def prediction(self, source: str, answer: Answer, note: str = "") -> Prediction:
        """What a model's answer says of an image; the note is on how its file was read."""
        risk, rebased = float(answer.risk), None
        if self.prevalence is not None:
            rebased = rebase(risk, assumed=self.spec.assumed_prevalence, prevalence=self.prevalence)
        familiarity = None if answer.familiarity is None else float(answer.familiarity)
        limit = self.spec.familiarity
        return Prediction(
            source,
            risk,
            self.point.decide(risk),
            self.point.name,
            dict(zip(self.spec.classes.names, map(float, answer.probabilities), strict=True)),
            self.spec.triage.band(risk),
            self.prevalence,
            rebased,
            # Others in the same batch may have asked for theirs.
            answer.heatmap if self.heatmap else None,
            familiarity,
            None if familiarity is None or limit is None else limit.is_unfamiliar(familiarity),
            note=note,
        )

    def failure(self, source: str, error: NevusError) -> Prediction:
        """That there is no answer for an image, and why."""
        code = error.code if isinstance(error, ImageError) else "unknown_metadata"
        return Prediction(
            source, None, None, self.point.name, {}, prevalence=self.prevalence, error=str(error), error_code=code
        )

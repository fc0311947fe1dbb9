"""From the bytes of an image to what the API says of it.

The threads of `batching` decode and check the images, and give them to the model in batches across requests.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import ClientDisconnect

from nevus.core.clinical import Values
from nevus.core.errors import BlankImageError, ImageError, ImageTooLargeError, ModelFileError, UnavailableError
from nevus.core.machine import available_processors
from nevus.core.modelfile import ModelSpec
from nevus.core.preprocess import Pixels, read
from nevus.serve.heatmap import heatmap_png
from nevus.serve.http.batching import Batcher
from nevus.serve.http.metrics import Metrics
from nevus.serve.http.schemas import Heatmap, ImageProblem, ImageResult
from nevus.serve.http.uploads import Upload
from nevus.serve.pixel_budget import AT_WORK, return_large_images_to_the_system
from nevus.serve.prediction import Answer, Question
from nevus.serve.predictor import Predictor
from nevus.serve.quality import QualityCheck

MODEL_FAILED = "model_failed"


@dataclass(slots=True)
class _Seen:
    """An image on its way: its name, and once it is decoded its size in pixels, upright, and a note on its file."""

    name: str
    size: tuple[int, int] = (0, 0)
    note: str = ""


class _UnusableError(Exception):
    """Why there is no answer for an image: a word for programs, and in words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Scorer:
    """Answers for images; lives within a running event loop, from `start` to `close`.

    Attributes:
        predictor: the model.
        quality: tells images that the model cannot answer for.
        max_pixels: above which an image is refused.
        metrics: where images and batches are counted.
        fingerprint: of the model, SHA-256 of its description.
    """

    predictor: Predictor
    quality: QualityCheck
    max_pixels: int
    metrics: Metrics

    def __post_init__(self) -> None:
        # Of its description, not its bytes: what an answer means depends on the thresholds in it.
        self.fingerprint = hashlib.sha256(self.spec.to_json().encode()).hexdigest()

    def start(self) -> None:
        """Starts the threads that decode and score."""
        return_large_images_to_the_system()
        self._batcher = Batcher(
            self.predictor.answer,
            self.predictor.batch_size,
            available_processors(),
            self.metrics.batch_size.observe,
        )

    def close(self) -> None:
        """Waits for no image: the time for those in flight has passed, and decoding cannot be stopped."""
        self._batcher.close()

    @property
    def works(self) -> bool:
        """False if no image would get an answer."""
        return self._batcher.works

    @property
    def spec(self) -> ModelSpec:
        """The description of the model."""
        return self.predictor.spec

    async def answer(
        self, uploads: list[Upload], question: Question, values: Values, *, check: bool, leaving: asyncio.Future[Any]
    ) -> list[ImageResult]:
        """A result for each image, in order.

        Args:
            uploads: the images.
            question: what is asked of each.
            values: their clinical values, float32 [M], the same for all.
            check: whether to refuse images that the model cannot answer for.
            leaving: done when the sender goes away; what has not begun by then is given up.

        Raises:
            ClientDisconnect: the sender went away.
        """
        seen = [_Seen(upload.name) for upload in uploads]
        answers = [
            self._batcher.score(partial(self._prepare, upload.content, check, image), question.heatmap, values)
            for upload, image in zip(uploads, seen, strict=True)
        ]
        leaving.add_done_callback(lambda _: [answer.cancel() for answer in answers])
        outcomes = await asyncio.gather(*answers, return_exceptions=True)
        if leaving.done():
            raise ClientDisconnect
        return [self._result(image, outcome, question) for image, outcome in zip(seen, outcomes, strict=True)]

    def _prepare(self, content: bytes, check: bool, seen: _Seen) -> Pixels | _UnusableError:
        with AT_WORK.slot() as slot:
            try:
                picture = read(content, self.max_pixels, admit=slot.take)
            except ImageTooLargeError as problem:
                return _UnusableError(problem.code, f"{problem}.")
            except BlankImageError as problem:
                return _UnusableError(problem.code, f"There is {problem}.")
            except UnavailableError as problem:
                return _UnusableError(
                    problem.code, f"The server cannot decode the image now: {problem}. Send it again later."
                )
            except ImageError as problem:
                return _UnusableError(problem.code, f"The file cannot be read as an image: {problem}.")
            seen.size, seen.note = picture.size, picture.note
            if check and (refusal := self.quality.refusal(picture)) is not None:
                return _UnusableError(refusal.code, refusal.message)
            return picture.square(self.spec.image_size)

    def _result(self, seen: _Seen, outcome: Answer | BaseException, question: Question) -> ImageResult:
        if isinstance(outcome, Answer):
            self.metrics.images.labels("ok").inc()
            return self._told(seen, outcome, question)
        if isinstance(outcome, ModelFileError):
            outcome = _UnusableError(MODEL_FAILED, str(outcome))
        if not isinstance(outcome, _UnusableError):
            raise outcome
        self.metrics.images.labels(outcome.code).inc()
        return ImageResult(name=seen.name, error=ImageProblem(code=outcome.code, message=str(outcome)))

    def _told(self, seen: _Seen, answer: Answer, question: Question) -> ImageResult:
        prediction = question.prediction(seen.name, answer)
        heatmap = None
        if prediction.heatmap is not None:
            picture = heatmap_png(prediction.heatmap, self.spec.image_size)
            width, height = seen.size
            heatmap = Heatmap(
                png=base64.b64encode(picture.png).decode("ascii"),
                strongest=picture.strongest,
                width=width,
                height=height,
            )
        return ImageResult(
            name=seen.name,
            risk=prediction.risk,
            decision=prediction.decided,
            triage=prediction.triage,
            risk_at_prevalence=prediction.risk_at_prevalence,
            familiarity=prediction.familiarity,
            unfamiliar=prediction.unfamiliar,
            probabilities=prediction.probabilities,
            heatmap=heatmap,
            note=seen.note,
        )

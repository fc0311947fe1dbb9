"""Prediction from a model file: images in, risk and decision out, in constant memory.

Needs NumPy, Pillow and ONNX Runtime; knows nothing of training. Images are resized by
`nevus.core.preprocess`, as before training, so that the graph's own resize has nothing to do
and images of different sizes share a batch.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast, overload

import numpy as np
from numpy.typing import NDArray

from nevus.core.clinical import Values, values_of
from nevus.core.errors import ConfigError, ImageError, ModelFileError, NevusError
from nevus.core.machine import available_processors
from nevus.core.modelfile import CLINICAL_INPUT, INPUT, OUTPUTS, ModelSpec
from nevus.core.operating_point import OperatingPoint
from nevus.core.preprocess import Pixels
from nevus.core.prevalence import check_prevalence, rebase
from nevus.core.shipped import DEFAULT, find_model
from nevus.serve.answer_check import check_answer
from nevus.serve.images import ImageLike, describe, is_one_image, to_pixels
from nevus.serve.session import first_line, open_model

if TYPE_CHECKING:
    from concurrent.futures import Future

    import onnxruntime

# What is known beside an image, by name: texts, numbers, or None.
Clinical: TypeAlias = Mapping[str, str | float | None]

# Images that go through the model together, in one thread. More are slower: what one layer hands to the next no longer
# fits in the core's own memory.
MAX_BATCH = 4
# Larger images go in smaller batches: 4 of 512 x 512 pixels, 1 of 1024 x 1024.
MAX_BATCH_PIXELS = 4 * 512 * 512


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
        error: why the image could not be used; None for a good one.
    """

    source: str
    risk: float | None
    decision: bool | None
    operating_point: str
    probabilities: dict[str, float]
    triage: str | None = None
    prevalence: float | None = None
    risk_at_prevalence: float | None = None
    heatmap: NDArray[np.float32] | None = None
    error: str | None = None


class _Given(NamedTuple):
    """An image that was handed over, or what is wrong with it, and its clinical values, float32 [M]."""

    source: str
    image: ImageLike | NevusError
    values: Values | NevusError


class _Decoded(NamedTuple):
    """An image as the network sees it, or what is wrong with it, and its clinical values, float32 [M]."""

    source: str
    pixels: Pixels | NevusError
    values: Values | NevusError


class _Asked(NamedTuple):
    """What a caller wants to know of each image."""

    point: OperatingPoint
    prevalence: float | None
    heatmap: bool


def load(model: str | Path = DEFAULT) -> Predictor:
    """Opens a model file.

    Args:
        model: the name of a shipped model, as `nevus models` lists them; the path of a `model.onnx` that
            `nevus export` wrote; or a run's folder, for the model in it.

    Raises:
        ModelFileError: the file is missing, damaged, too large, or no model file of Nevus; or no shipped
            model has that name.

    Examples:
        >>> model = load("compact")
        >>> model.spec.classes.names
        ('benign', 'malignant')
        >>> model.spec.image_size
        128
    """
    path = find_model(model)
    session, spec = open_model(path)
    return Predictor(session, spec, path)


class Predictor:
    """A model that is ready to predict; made by `load`.

    Attributes:
        spec: what the model file says of itself: classes, operating points, test figures, limitations.
    """

    def __init__(self, session: onnxruntime.InferenceSession, spec: ModelSpec, path: Path) -> None:
        self._session = session
        self._path = path
        self.spec = spec

    # A str is an iterable of str to the type checker, so the first of the two has to come first.
    @overload
    def predict(  # type: ignore[overload-overlap]
        self,
        images: ImageLike,
        *,
        metadata: Clinical | None = None,
        operating_point: str | None = None,
        prevalence: float | None = None,
        heatmap: bool = False,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        images: Iterable[ImageLike],
        *,
        metadata: Iterable[Clinical | None] | None = None,
        operating_point: str | None = None,
        prevalence: float | None = None,
        heatmap: bool = False,
    ) -> list[Prediction]: ...

    def predict(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        metadata: Clinical | Iterable[Clinical | None] | None = None,
        operating_point: str | None = None,
        prevalence: float | None = None,
        heatmap: bool = False,
    ) -> Prediction | list[Prediction]:
        """Predicts one image, or several.

        Args:
            images: a path, the bytes of a file, a Pillow image or uint8 [height, width, 3], RGB, of any
                size; or an iterable of these, or uint8 [num_images, height, width, 3].
            metadata: what is known beside the image, by the names in `spec.clinical`, such as `{"age": 55, "sex":
                "female"}`; for several images one each, or None. What is left out is not known to the model.
            operating_point: name of the one that decides; the model's default if None.
            prevalence: share of malignant lesions, in (0, 1), where the images come from: gives
                `risk_at_prevalence` as well. Decision and triage stay, for re-basing changes no order.
            heatmap: whether to return heatmaps.

        Returns:
            One prediction for one image; a list in the same order for several.

        Raises:
            ImageError: the one image cannot be used. Among several, a bad one does not lose
                the others: its prediction holds the error.
            ModelFileError: the model has no such operating point, or does not answer as a model should.
            ConfigError: the prevalence does not lie between 0 and 1, or the model does not take this `metadata`;
                among several images, wrong `metadata` are the error of their prediction.

        Examples:
            >>> from nevus.core.modelfile import golden_pixels
            >>> picture = golden_pixels(96, 128)  # a drawing of a dark disc on a bright ground
            >>> answer = load().predict(picture, heatmap=True)
            >>> answer.operating_point, answer.heatmap.ndim
            ('sensitivity-95', 2)
            >>> [one.error for one in load().predict([picture, "no-such-file.jpg"])]
            [None, 'no such file']
        """
        if is_one_image(images):
            asked = self._asked(operating_point, prevalence, heatmap)
            values = values_of(self.spec.clinical, cast("Clinical | None", metadata))
            pixels = to_pixels(images, self.spec.image_size)
            return self._score([_Decoded(describe(images, 1), pixels, values)], asked)[0]
        predictions = self.predict_many(
            cast(Iterable[ImageLike], images),
            metadata=cast("Iterable[Clinical | None] | None", metadata),
            operating_point=operating_point,
            prevalence=prevalence,
            heatmap=heatmap,
        )
        return list(predictions)

    def predict_many(
        self,
        images: Iterable[ImageLike],
        *,
        metadata: Iterable[Clinical | None] | None = None,
        operating_point: str | None = None,
        prevalence: float | None = None,
        heatmap: bool = False,
    ) -> Iterator[Prediction]:
        """Predicts a stream of images in constant memory: a thread for each core decodes and scores, a little ahead.

        Args and errors are those of `predict`; a bad image gives a prediction with its error.

        Yields:
            A prediction for each image, in the same order.
        """
        return self._stream(images, metadata, self._asked(operating_point, prevalence, heatmap))

    def _asked(self, operating_point: str | None, prevalence: float | None, heatmap: bool) -> _Asked:
        if prevalence is not None:
            check_prevalence(prevalence)
        return _Asked(self.spec.operating_point(operating_point), prevalence, heatmap)

    def _stream(
        self, images: Iterable[ImageLike], clinical: Iterable[Clinical | None] | None, asked: _Asked
    ) -> Iterator[Prediction]:
        # Imported here: one image needs no threads, and the import is a tenth of a cold start.
        from concurrent.futures import ThreadPoolExecutor

        has_ended = False

        def score(batch: list[_Given]) -> list[Prediction]:
            return self._score([self._decoded(image) for image in batch if not has_ended], asked)

        num_threads = available_processors()
        numbered = enumerate(_paired(images, clinical), start=1)
        given = (self._given(image, number, known) for number, (image, known) in numbered)
        waiting: deque[Future[list[Prediction]]] = deque()
        pool = ThreadPoolExecutor(num_threads)
        try:
            while batch := list(itertools.islice(given, self.batch_size)):
                waiting.append(pool.submit(score, batch))
                # From a slow source, a camera say, answers come once they are there, not once all threads are busy.
                if waiting[0].done() or len(waiting) == 2 * num_threads:
                    yield from waiting.popleft().result()
            for scored in waiting:
                yield from scored.result()
        finally:
            # Who ends early, by Ctrl-C say, waits for the images that are being decoded, not for those behind them.
            has_ended = True
            pool.shutdown(cancel_futures=True)

    def _given(self, image: ImageLike, number: int, clinical: Clinical | None) -> _Given:
        held: ImageLike | NevusError = image
        if not isinstance(image, (str, os.PathLike, bytes)):
            # The caller may change an image in memory once it is handed over: a video's frame, say.
            held = _pixels_or_error(image, self.spec.image_size)
        return _Given(describe(image, number), held, self._values_or_error(clinical))

    def _decoded(self, given: _Given) -> _Decoded:
        return _Decoded(given.source, _pixels_or_error(given.image, self.spec.image_size), given.values)

    def _values_or_error(self, given: Clinical | None) -> Values | NevusError:
        try:
            return values_of(self.spec.clinical, given)
        except ConfigError as error:
            return error

    def _score(self, batch: list[_Decoded], asked: _Asked) -> list[Prediction]:
        good = [
            (pixels, values)
            for _, pixels, values in batch
            if not isinstance(pixels, NevusError) and not isinstance(values, NevusError)
        ]
        answers: Iterator[tuple[NDArray[np.float32], np.float32, NDArray[np.float32] | None]] = iter(())
        if good:
            pixels, values = map(np.stack, zip(*good, strict=True))
            answers = self.answer(pixels, asked.heatmap, values)
        predictions = []
        for source, *read in batch:
            error = next((one for one in read if isinstance(one, NevusError)), None)
            if error is not None:
                predictions.append(
                    Prediction(source, None, None, asked.point.name, {}, prevalence=asked.prevalence, error=str(error))
                )
            else:
                predictions.append(self._prediction(source, *next(answers), asked))
        return predictions

    def _prediction(
        self,
        source: str,
        probabilities: NDArray[np.float32],
        single_risk: np.float32,
        heatmap: NDArray[np.float32] | None,
        asked: _Asked,
    ) -> Prediction:
        risk = float(single_risk)
        rebased = None
        if asked.prevalence is not None:
            rebased = rebase(risk, assumed=self.spec.assumed_prevalence, prevalence=asked.prevalence)
        return Prediction(
            source,
            risk,
            asked.point.decide(risk),
            asked.point.name,
            dict(zip(self.spec.classes.names, map(float, probabilities), strict=True)),
            self.spec.triage.band(risk),
            asked.prevalence,
            rebased,
            heatmap,
        )

    @property
    def batch_size(self) -> int:
        """The most images that should go through the model together."""
        return max(1, min(MAX_BATCH, MAX_BATCH_PIXELS // self.spec.image_size**2))

    def answer(
        self, pixels: Pixels, heatmap: bool, values: Values | None = None
    ) -> Iterator[tuple[NDArray[np.float32], np.float32, NDArray[np.float32] | None]]:
        """One pass of the model over images that are decoded and resized already.

        Args:
            pixels: uint8 [N, S, S, 3], RGB.
            heatmap: whether to compute heatmaps.
            values: float32 [N, M], the images' clinical values, NaN for what is not known; None if none is.

        Returns:
            For each image its probabilities float32 [C], risk, and heatmap float32 [map_height, map_width] or None.

        Raises:
            ModelFileError: the model does not answer as a model should.
        """
        outputs = OUTPUTS if heatmap else OUTPUTS[:2]
        given = {} if values is None or not self.spec.clinical else {CLINICAL_INPUT: values}
        try:
            answers = self._session.run(list(outputs), {INPUT: pixels, **given})
        except Exception as problem:  # ONNX Runtime's errors have no common base.
            raise ModelFileError(
                f"{self._path} failed to run ({first_line(problem)}). Export the model again."
            ) from None
        # The runtime holds a graph to the shapes that it states only so far, and to no values.
        shapes = ((len(self.spec.classes.names),), (), (None, None))
        for name, answer, shape in zip(outputs, answers, shapes, strict=False):
            check_answer(self._path, name, answer, (len(pixels), *shape))
        probabilities, risk = (np.clip(answer, 0.0, 1.0) for answer in answers[:2])
        return zip(probabilities, risk, answers[2] if heatmap else [None] * len(pixels), strict=True)


def _paired(
    images: Iterable[ImageLike], clinical: Iterable[Clinical | None] | None
) -> Iterator[tuple[ImageLike, Clinical | None]]:
    """Each image with its clinical values.

    Raises:
        ConfigError: there are fewer of them than images.
    """
    if clinical is None:
        yield from ((image, None) for image in images)
        return
    rows = iter(clinical)
    for number, image in enumerate(images):
        try:
            yield image, next(rows)
        except StopIteration:
            raise ConfigError(f"metadata: expected one for each image, or None. Received {number} for more.") from None


def _pixels_or_error(image: ImageLike | NevusError, image_size: int) -> Pixels | NevusError:
    if isinstance(image, NevusError):
        return image
    try:
        return to_pixels(image, image_size)
    except ImageError as error:
        return error

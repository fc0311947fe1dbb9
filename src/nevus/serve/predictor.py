"""Prediction from a model file: images in, risk and decision out, in constant memory.

Needs NumPy, Pillow and ONNX Runtime; knows nothing of training. Images are resized by
`nevus.core.preprocess`, as before training, so that the graph's own resize has nothing to do
and images of different sizes share a batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast, overload

import numpy as np

from nevus.core.clinical import Values, values_of
from nevus.core.errors import ConfigError, ImageError, ImageRefusedError, ModelFileError, NevusError
from nevus.core.modelfile import CLINICAL_INPUT, FAMILIARITY, INPUT, OUTPUTS, ModelSpec
from nevus.core.preprocess import Pixels
from nevus.core.shipped import DEFAULT, find_model
from nevus.serve.answer_check import check_agreement, check_answer
from nevus.serve.images import ImageLike, Square, describe, is_one_image, to_square
from nevus.serve.prediction import Answer, Prediction, Question
from nevus.serve.session import batch_size, first_line, open_content, open_model, read_model
from nevus.serve.stream import in_threads

if TYPE_CHECKING:
    import onnxruntime

# What is known besides an image, by name: texts, numbers, or None.
Clinical: TypeAlias = Mapping[str, str | float | None]


class _Given(NamedTuple):
    """An image that was handed over, or what is wrong with it, and its clinical values, float32 [M]."""

    source: str
    image: ImageLike | Square | NevusError
    values: Values | NevusError


class _Decoded(NamedTuple):
    """An image as the network sees it, or what is wrong with it, and its clinical values, float32 [M]."""

    source: str
    square: Square | NevusError
    values: Values | NevusError


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


def _reopened(path: Path, content: bytes) -> Predictor:
    """The predictor that was pickled, from the bytes of its model file."""
    return Predictor(*open_content(path, content), path)


class Predictor:
    """A model that is ready to predict; made by `load`.

    It can be copied and pickled, for pools of processes and the like: the pickle holds the model file.

    Attributes:
        spec: what the model file says of itself: classes, operating points, test metrics, limitations.
        path: of the model file.
    """

    def __init__(self, session: onnxruntime.InferenceSession, spec: ModelSpec, path: Path) -> None:
        self._session = session
        self.path = path
        self.spec = spec

    def __copy__(self) -> Predictor:
        """Another predictor of the same open model, which any number of threads can ask at once."""
        return Predictor(self._session, self.spec, self.path)

    def __deepcopy__(self, memo: dict[int, object]) -> Predictor:
        """As a copy: nothing of an open model can be changed."""
        return self.__copy__()

    def __reduce__(self) -> tuple[Callable[[Path, bytes], Predictor], tuple[Path, bytes]]:
        """For pickle: the path and the bytes of the model file, so that another machine needs no copy of it.

        Raises:
            ModelFileError: the file is gone, or is another one than was opened.
        """
        content = read_model(self.path)
        # As text: a threshold that is not a number would equal no other.
        if open_content(self.path, content)[1].to_json() != self.spec.to_json():
            raise ModelFileError(f"{self.path} has changed since it was opened. Open it again with nevus.load.")
        return _reopened, (self.path, content)

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
        check: bool = True,
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
        check: bool = True,
    ) -> list[Prediction]: ...

    def predict(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        metadata: Clinical | Iterable[Clinical | None] | None = None,
        operating_point: str | None = None,
        prevalence: float | None = None,
        heatmap: bool = False,
        check: bool = True,
    ) -> Prediction | list[Prediction]:
        """Predicts one image, or several.

        Args:
            images: a path, the bytes of a file, a file open for reading bytes, a Pillow image or uint8 [height, width,
                3], RGB, of any size; or an iterable of these, or uint8 [num_images, height, width, 3].
            metadata: what is known besides the image, by the names in `spec.clinical`, such as `{"age": 55, "sex":
                "female"}`; for several images one each, or None. What is left out is not known to the model.
            operating_point: name of the one that decides; the model's default if None.
            prevalence: share of malignant lesions, in (0, 1), where the images come from: gives
                `risk_at_prevalence` as well. Decision and triage stay, for re-basing changes no order.
            heatmap: whether to return heatmaps.
            check: whether to refuse images that are too small, too blurred or not dermoscopic.

        Returns:
            One prediction for one image; a list in the same order for several.

        Raises:
            ImageError: the one image cannot be used; ImageRefusedError if the check refused it. Among several,
                a bad one does not lose the others: its prediction holds the error.
            ModelFileError: the model has no such operating point, or does not answer as a model should.
            ConfigError: the prevalence does not lie between 0 and 1, or the model does not take this `metadata`;
                among several images, wrong `metadata` are the error of their prediction.

        Examples:
            >>> from nevus.core.modelfile import golden_pixels
            >>> picture = golden_pixels(96, 128)  # a drawing of a dark disc on a bright ground
            >>> answer = load().predict(picture, heatmap=True, check=False)  # the check would refuse a drawing
            >>> answer.operating_point, answer.heatmap.ndim
            ('sensitivity-90', 2)
            >>> [one.error_code for one in load().predict([picture, "no-such-file.jpg"])]
            ['not_dermoscopic', 'not_readable']
        """
        if is_one_image(images):
            question = Question.of(self.spec, operating_point, prevalence, heatmap)
            values = values_of(self.spec.clinical, cast("Clinical | None", metadata))
            square = _square_of_one(images, self.spec.image_size, check)
            return self._score([_Decoded(describe(images, 1), square, values)], question)[0]
        predictions = self.predict_many(
            cast(Iterable[ImageLike], images),
            metadata=cast("Iterable[Clinical | None] | None", metadata),
            operating_point=operating_point,
            prevalence=prevalence,
            heatmap=heatmap,
            check=check,
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
        check: bool = True,
    ) -> Iterator[Prediction]:
        """Predicts a stream of images in constant memory: a thread for each core decodes and scores, a little ahead.

        Args and errors are those of `predict`; a bad image gives a prediction with its error.

        Yields:
            A prediction for each image, in the same order.

        Raises:
            ConfigError: in addition, one image was given where several are expected.
        """
        if is_one_image(images):
            raise ConfigError(
                f"predict_many: expected an iterable of images. Received {type(images).__name__}. For one image call "
                "predict, or give a list of it."
            )
        question = Question.of(self.spec, operating_point, prevalence, heatmap)
        numbered = enumerate(_paired(images, metadata), start=1)
        given = (self._given(image, number, known, check) for number, (image, known) in numbered)
        decoded = partial(self._decoded, check=check)
        return in_threads(given, decoded, partial(self._score, question=question), self.batch_size)

    def _given(self, image: ImageLike, number: int, clinical: Clinical | None, check: bool) -> _Given:
        held: ImageLike | Square | NevusError = image
        if not isinstance(image, (str, os.PathLike, bytes)):
            # The caller may change an image in memory once it is handed over, a video's frame, say, or close a file.
            held = _square_or_error(image, self.spec.image_size, check)
        return _Given(describe(image, number), held, self._values_or_error(clinical))

    def _decoded(self, given: _Given, check: bool) -> _Decoded:
        square: Square | NevusError
        if isinstance(given.image, (Square, NevusError)):
            square = given.image  # Checked and resized when it was given.
        else:
            square = _square_or_error(given.image, self.spec.image_size, check)
        return _Decoded(given.source, square, given.values)

    def _values_or_error(self, given: Clinical | None) -> Values | NevusError:
        try:
            return values_of(self.spec.clinical, given)
        except ConfigError as error:
            return error

    def _score(self, batch: list[_Decoded], question: Question) -> list[Prediction]:
        good = [
            (square.pixels, values)
            for _, square, values in batch
            if not isinstance(square, NevusError) and not isinstance(values, NevusError)
        ]
        answers: Iterator[Answer] = iter(())
        if good:
            pixels, clinical = map(np.stack, zip(*good, strict=True))
            answers = self.answer(pixels, question.heatmap, clinical)
        predictions = []
        for source, square, values in batch:
            if isinstance(square, NevusError):
                predictions.append(question.failure(source, square))
            elif isinstance(values, NevusError):
                predictions.append(question.failure(source, values))
            else:
                predictions.append(question.prediction(source, next(answers), square.note))
        return predictions

    @property
    def batch_size(self) -> int:
        """The most images that should go through the model together."""
        return batch_size(self.spec.image_size)

    def answer(self, pixels: Pixels, heatmap: bool, values: Values | None = None) -> Iterator[Answer]:
        """One pass of the model over images that are decoded and resized already.

        Args:
            pixels: uint8 [N, S, S, 3], RGB.
            heatmap: whether to compute heatmaps.
            values: float32 [N, M], the images' clinical values, NaN for what is not known; None if none is.

        Returns:
            An answer for each image.

        Raises:
            ModelFileError: the model does not answer as a model should.
        """
        # A heatmap is left out where nobody asks: it is large.
        outputs = [name for name in self.spec.outputs if heatmap or name != "heatmap"]
        given = {} if values is None or not self.spec.clinical else {CLINICAL_INPUT: values}
        try:
            answers = dict(zip(outputs, self._session.run(outputs, {INPUT: pixels, **given}), strict=True))
        except Exception as problem:  # ONNX Runtime's errors have no common base.
            raise ModelFileError(
                f"{self.path} failed to run ({first_line(problem)}). Export the model again."
            ) from None
        # The runtime holds a graph to the shapes that it states only so far, and to no values.
        shapes = {"probabilities": (len(self.spec.classes.names),), "heatmap": (None, None)}
        for name, answer in answers.items():
            check_answer(self.path, name, answer, (len(pixels), *shapes.get(name, ())))
            if name != "heatmap":
                np.clip(answer, 0.0, 1.0, out=answer)
        check_agreement(self.path, self.spec.classes, answers["probabilities"], answers["risk"])
        nothing = [None] * len(pixels)
        return map(Answer, *(answers.get(name, nothing) for name in (*OUTPUTS, FAMILIARITY)))


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


def _square_or_error(image: ImageLike, image_size: int, check: bool) -> Square | NevusError:
    try:
        return to_square(image, image_size, check=check)
    except ImageError as error:
        return error


def _square_of_one(image: ImageLike, image_size: int, check: bool) -> Square:
    try:
        return to_square(image, image_size, check=check)
    except ImageRefusedError as refusal:
        raise ImageRefusedError(refusal.code, f"{refusal} check=False asks the model all the same.") from None

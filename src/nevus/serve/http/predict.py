"""The endpoint `/v1/predict`: from a request, what it asks and the images that it holds, to its response."""

from __future__ import annotations

import asyncio
import time

from fastapi import Request, Response
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from nevus.core.clinical import Values, parse_pairs, values_of
from nevus.core.errors import ConfigError, ModelFileError, UnavailableError
from nevus.core.modelfile import ModelSpec
from nevus.serve.http.errors import ApiError, error_response
from nevus.serve.http.metrics import CUT_OFF, Metrics
from nevus.serve.http.schemas import ImageResult, PredictAnswer, PredictQuery
from nevus.serve.http.scoring import MODEL_FAILED, Scorer
from nevus.serve.http.settings import Settings
from nevus.serve.http.uploads import read_images
from nevus.serve.prediction import Question


class PredictEndpoint:
    """Answers predict requests, a limited number at a time.

    Args:
        scorer: answers for images.
        settings: limits.
        metrics: where requests in flight and their times are counted.
    """

    def __init__(self, scorer: Scorer, settings: Settings, metrics: Metrics) -> None:
        self._scorer, self._settings, self._metrics = scorer, settings, metrics
        self._num_in_flight = 0
        metrics.in_flight.set_function(lambda: self._num_in_flight)

    async def predict(self, request: Request) -> Response:
        """The response for a request, also for one that is wrong."""
        if self._num_in_flight >= self._settings.max_in_flight:
            return error_response(
                ApiError(503, "overloaded", "Too many requests in flight. Send it again in a second.", retry_after="1")
            )
        start = time.perf_counter()
        self._num_in_flight += 1
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return Response(status_code=CUT_OFF)
        except ApiError as error:
            response = error_response(error)
        finally:
            self._num_in_flight -= 1
        self._metrics.seconds.observe(time.perf_counter() - start)
        return response

    async def _answer(self, request: Request) -> Response:
        query = _query(request)
        question, values = _question(self._scorer.spec, query), _values(self._scorer.spec, query.metadata)
        uploads = await read_images(request, self._settings)
        # After the body, the next message is that the sender went away.
        leaving = asyncio.ensure_future(request.receive())
        try:
            results = await self._scorer.answer(uploads, question, values, check=query.check, leaving=leaving)
        finally:
            leaving.cancel()
        return _response(results, question, query.lenient, self._scorer.fingerprint)


def _query(request: Request) -> PredictQuery:
    try:
        return PredictQuery.model_validate(dict(request.query_params))
    except ValidationError as problem:
        # What was sent is not repeated: it may be anything.
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in problem.errors()]
        raise ApiError(422, "invalid_parameter", "; ".join(problems)[:1000] + ".") from None


def _question(spec: ModelSpec, query: PredictQuery) -> Question:
    try:
        return Question.of(spec, query.operating_point, query.prevalence, query.heatmap)
    except ModelFileError as problem:
        raise ApiError(422, "unknown_operating_point", str(problem)) from None


def _values(spec: ModelSpec, clinical: str | None) -> Values:
    try:
        return values_of(spec.clinical, parse_pairs(clinical or ""))
    except ConfigError as problem:
        raise ApiError(422, "unknown_metadata", str(problem)) from None


def _response(results: list[ImageResult], question: Question, lenient: bool, fingerprint: str) -> Response:
    """200 if any image has an answer, else why not; lenient, 200 unless it is the model that failed.

    The reason is the first, but a model that fails goes before images that cannot be used.
    """
    problems = [result.error for result in results if result.error is not None]
    failed = [problem for problem in problems if problem.code == MODEL_FAILED]
    if len(problems) < len(results) or (lenient and not failed):
        answer = PredictAnswer(
            fingerprint=fingerprint,
            operating_point=question.point.name,
            threshold=question.point.threshold,
            prevalence=question.prevalence,
            predictions=results,
        )
        return Response(answer.model_dump_json(), media_type="application/json")
    reason = (failed or problems)[0]
    status = {"too_many_pixels": 413, MODEL_FAILED: 500, UnavailableError.code: 503}.get(reason.code, 422)
    several = f" None of the {len(results)} images has an answer." if len(results) > 1 else ""
    return error_response(
        ApiError(status, reason.code, reason.message + several), predictions=[result.model_dump() for result in results]
    )

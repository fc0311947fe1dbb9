"""The application: which address answers what. Limits, uploads, scoring and access are modules of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

import nevus
from nevus.core.clinical import Values, parse_pairs, values_of
from nevus.core.errors import ConfigError, ModelFileError
from nevus.core.modelfile import DISCLAIMER, ModelSpec
from nevus.core.operating_point import OperatingPoint
from nevus.serve.http.errors import ApiError, add_error_handlers, error_response
from nevus.serve.http.guard import Guard
from nevus.serve.http.metrics import CUT_OFF, Counted, Metrics
from nevus.serve.http.openapi import EXAMPLE_PREDICTION, PREDICT_BODY, PREDICT_PARAMETERS, documented
from nevus.serve.http.schemas import ImageResult, ModelAnswer, NoAnswer, PredictAnswer, PredictQuery, Status
from nevus.serve.http.scoring import MODEL_FAILED, Question, Scorer
from nevus.serve.http.settings import Settings
from nevus.serve.http.shortcut import Endpoint, Shortcut
from nevus.serve.http.uploads import read_images
from nevus.serve.page import PAGE, RETIRING_WORKER, SERVER_ENGINE, describe_model
from nevus.serve.predictor import Predictor
from nevus.serve.quality import QualityCheck

_PREDICT = "/v1/predict"


def create_app(predictor: Predictor, settings: Settings) -> ASGIApp:
    """Makes the application for one model: what counts and guards all requests, and FastAPI behind it.

    Args:
        predictor: the model, from `nevus.load`.
        settings: limits and access.
    """
    metrics = Metrics()
    scorer = Scorer(predictor, QualityCheck(), settings.max_pixels, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        scorer.start()
        yield
        scorer.close()

    api = FastAPI(
        title="Nevus",
        version=nevus.__version__,
        description=f"Risk, decision, triage and heatmap for dermoscopic images. {DISCLAIMER}",
        lifespan=lifespan,
        # Their pages load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
    )
    add_error_handlers(api)
    predict = _add_predict(api, scorer, settings, metrics)
    _add_status(api, scorer, settings, metrics)
    _add_page(api)
    return Counted(Guard(Shortcut(api, _PREDICT, predict), settings), _PREDICT, metrics)


def _add_predict(app: FastAPI, scorer: Scorer, settings: Settings, metrics: Metrics) -> Endpoint:
    names = ", ".join(point.name for point in scorer.spec.operating_points)
    taken = ", ".join(variable.name for variable in scorer.spec.clinical) or "none"
    num_in_flight = 0
    metrics.in_flight.set_function(lambda: num_in_flight)

    @app.post(
        _PREDICT,
        summary="Risk, decision and triage of one or more images",
        description=f"The operating points are: {names}. Metadata that the model takes: {taken}.",
        response_model=PredictAnswer,
        responses={
            200: {
                "description": "One or more images have an answer",
                "content": {"application/json": {"example": EXAMPLE_PREDICTION}},
            },
            **documented(400, 401, 403, 408, 415, 421, 503),
            **documented(413, 422, 500, model=NoAnswer),
        },
        openapi_extra={"parameters": PREDICT_PARAMETERS, "requestBody": PREDICT_BODY},
    )
    async def predict(request: Request) -> Response:
        nonlocal num_in_flight
        if num_in_flight >= settings.max_in_flight:
            return error_response(
                ApiError(503, "overloaded", "Too many requests in flight. Send it again in a second.", retry_after="1")
            )
        start = time.perf_counter()
        num_in_flight += 1
        try:
            query = _query(request)
            question = Question(
                _point(scorer.spec, query.operating_point),
                query.prevalence,
                query.heatmap,
                query.check,
                _values(scorer.spec, query.metadata),
            )
            uploads = await read_images(request, settings)
            # After the body, the next message is that the sender went away.
            leaving = asyncio.ensure_future(request.receive())
            try:
                results = await scorer.answer(uploads, question, leaving)
            finally:
                leaving.cancel()
            response = _response(results, question, query.lenient, scorer.fingerprint)
        except ClientDisconnect:
            return Response(status_code=CUT_OFF)
        except ApiError as error:
            response = error_response(error)
        finally:
            num_in_flight -= 1
        metrics.seconds.observe(time.perf_counter() - start)
        return response

    return predict


def _add_status(app: FastAPI, scorer: Scorer, settings: Settings, metrics: Metrics) -> None:
    limits = {name: getattr(settings, name) for name in ("max_bytes", "max_images", "max_pixels")}
    refused = documented(401, 403, 421)

    @app.get("/v1/model", summary="What the model says of itself", response_model=ModelAnswer, responses=refused)
    async def model() -> JSONResponse:
        return JSONResponse({**describe_model(scorer.spec), "fingerprint": scorer.fingerprint, "limits": limits})

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", summary="Whether the process lives", responses=documented(403, 421))
    async def healthz() -> Status:
        return Status(status="ok")

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", summary="Whether it can answer: the model is at work", responses=documented(403, 421, 503))
    async def readyz() -> Status:
        if not scorer.works:
            raise ApiError(503, "not_ready", "The model is no longer at work. Start the server again.")
        return Status(status="ok")

    @app.get(
        "/metrics",
        summary="Counters for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **refused},
    )
    async def counters() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")


def _add_page(app: FastAPI) -> None:
    """The files of the page, each under its own name: no path that a caller sends is ever opened."""
    files = {"/": PAGE / "index.html", f"/{SERVER_ENGINE.name}": SERVER_ENGINE, "/service-worker.js": RETIRING_WORKER}
    files |= {f"/{path.name}": path for path in PAGE.iterdir() if path.is_file()}
    for address, path in files.items():
        app.add_route(address, partial(_send, path), include_in_schema=False)


async def _send(path: Path, request: Request) -> Response:
    # Whole, whatever range is asked for: a wrong one would be answered in no form of ours.
    request.scope["headers"] = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
    # Files of two versions must not meet.
    return FileResponse(path, headers={"cache-control": "no-cache", "accept-ranges": "none"})


def _query(request: Request) -> PredictQuery:
    try:
        return PredictQuery.model_validate(dict(request.query_params))
    except ValidationError as problem:
        # What was sent is not repeated: it may be anything.
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in problem.errors()]
        raise ApiError(422, "invalid_parameter", "; ".join(problems)[:1000] + ".") from None


def _point(spec: ModelSpec, name: str | None) -> OperatingPoint:
    try:
        return spec.operating_point(name)
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
    status = {"too_many_pixels": 413, MODEL_FAILED: 500}.get(reason.code, 422)
    several = f" None of the {len(results)} images has an answer." if len(results) > 1 else ""
    return error_response(
        ApiError(status, reason.code, reason.message + several), predictions=[result.model_dump() for result in results]
    )

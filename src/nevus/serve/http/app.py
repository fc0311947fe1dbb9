"""The application: which address answers what. Limits, uploads, scoring and access are modules of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

import nevus
from nevus.core.modelfile import DISCLAIMER, ModelSpec
from nevus.serve.http.errors import ApiError, add_error_handlers
from nevus.serve.http.guard import Guard
from nevus.serve.http.metrics import Counted, Metrics
from nevus.serve.http.openapi import EXAMPLE_PREDICTION, PREDICT_BODY, PREDICT_PARAMETERS, documented
from nevus.serve.http.predict import PredictEndpoint
from nevus.serve.http.schemas import ModelAnswer, NoAnswer, PredictAnswer, Status
from nevus.serve.http.scoring import Scorer
from nevus.serve.http.settings import Settings
from nevus.serve.http.shortcut import Shortcut
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
    endpoint = PredictEndpoint(scorer, settings, metrics)
    _add_predict(api, endpoint, predictor.spec)
    _add_status(api, scorer, settings, metrics)
    _add_page(api)
    app: ASGIApp = Guard(Shortcut(api, _PREDICT, endpoint.predict), settings)
    if settings.cors_origins:
        # Around the guard: a browser asks in advance without the key, and a refusal must be readable for the page.
        app = CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("authorization", "content-type"),
        )
    return Counted(app, _PREDICT, metrics)


def _add_predict(app: FastAPI, endpoint: PredictEndpoint, spec: ModelSpec) -> None:
    names = ", ".join(point.name for point in spec.operating_points)
    taken = ", ".join(variable.name for variable in spec.clinical) or "none"
    app.post(
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
    )(endpoint.predict)


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

"""Errors as the API tells them: a status, a code for programs and a message for people, always in the same JSON."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

_CODES = {404: "not_found", 405: "method_not_allowed"}


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of HTTP.
        code: a word for programs.
        message: what happened, what was expected and how to fix it.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers


def error_response(error: ApiError, **more: Any) -> JSONResponse:
    """The answer for an error; `more` is added to it."""
    headers = {name.replace("_", "-"): value for name, value in error.headers.items()}
    return JSONResponse({"error": {"code": error.code, "message": error.message}, **more}, error.status, headers)


def fault(error: Exception) -> ApiError:
    """How an exception that nothing foresaw is told: by its kind alone, for its words may hold anything."""
    return ApiError(500, "internal_error", f"Unexpected {type(error).__name__}. This is a fault of Nevus: report it.")


def add_error_handlers(app: FastAPI) -> None:
    """Makes every error of an application leave in the one form."""

    @app.exception_handler(ApiError)
    async def _ours(request: Request, error: ApiError) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "http_error")
        answer = error_response(ApiError(error.status_code, code, f"{error.detail}. See /openapi.json."))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def _fault(request: Request, error: Exception) -> JSONResponse:
        # The guard answers it, as it does those of addresses past FastAPI; Starlette would, in a form of its own.
        raise error

"""What the OpenAPI document says beyond the types: the upload, the errors, examples."""

from __future__ import annotations

from typing import Any

from nevus.core.modelfile import DISCLAIMER
from nevus.serve.http.schemas import ErrorAnswer, PredictQuery
from nevus.serve.http.uploads import FIELD

# Read by FastAPI, one by one, they take a fifth of the time that a request costs besides its images.
PREDICT_PARAMETERS = [
    {"name": name, "in": "query", "required": False, "description": schema.pop("description"), "schema": schema}
    for name, schema in PredictQuery.model_json_schema()["properties"].items()
]

PREDICT_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {
                    FIELD: {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "Image files: JPEG, PNG, BMP, TIFF, WebP or GIF",
                    }
                },
            }
        }
    },
}

EXAMPLE_PREDICTION = {
    "fingerprint": "5f1c9a0c3d7a4e0b8a6d2f4b1e9c7035d8a2b6f0c4e1937a5d8b2c6f0e4a1937",
    "operating_point": "sensitivity-95",
    "threshold": 0.31,
    "prevalence": 0.02,
    "predictions": [
        {
            "name": "lesion.jpg",
            "risk": 0.62,
            "decision": "malignant",
            "triage": "uncertain",
            "risk_at_prevalence": 0.034,
            "familiarity": 0.61,
            "unfamiliar": False,
            "probabilities": {"benign": 0.38, "malignant": 0.62},
            "heatmap": None,
            "error": None,
        },
        {
            "name": "notes.txt",
            "risk": None,
            "decision": None,
            "triage": None,
            "risk_at_prevalence": None,
            "familiarity": None,
            "unfamiliar": None,
            "probabilities": {},
            "heatmap": None,
            "error": {
                "code": "not_readable",
                "message": "The file cannot be read as an image: not an image in a known format.",
            },
        },
    ],
    "disclaimer": DISCLAIMER,
}

_ERRORS = {
    400: ("The multipart body is damaged", "malformed_multipart"),
    401: ("No key, or another one", "key_required"),
    403: ("Asked by a page of another site", "cross_origin"),
    408: ("The body arrived too slowly", "upload_too_slow"),
    413: ("Too many bytes, images or pixels", "request_too_large"),
    415: ("The body is not a multipart form", "unsupported_media_type"),
    421: ("The Host header names another machine", "wrong_host"),
    422: ("A parameter is wrong, there is no image, or none that can be used", "no_images"),
    500: ("The model does not answer as a model should", "model_failed"),
    503: ("Too many requests in flight: come back after Retry-After seconds", "overloaded"),
}


def documented(*statuses: int, model: type[ErrorAnswer] = ErrorAnswer) -> dict[int | str, dict[str, Any]]:
    """The errors of an address, for its `responses`."""
    return {
        status: {
            "model": model,
            "description": _ERRORS[status][0],
            "content": {
                "application/json": {"example": {"error": {"code": _ERRORS[status][1], "message": _ERRORS[status][0]}}}
            },
        }
        for status in statuses
    }

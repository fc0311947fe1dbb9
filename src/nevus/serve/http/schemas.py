"""The answers of the API as types: they check what is sent and make the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from nevus.core.modelfile import DISCLAIMER

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class PredictQuery(BaseModel):
    """What a request asks of its images, behind the `?` of its address; what it names beyond that is ignored."""

    operating_point: Annotated[
        str | None, Field(description="Decide at this one; at the model's default if absent")
    ] = None
    prevalence: Annotated[
        float | None, Field(gt=0, lt=1, description="Share of malignant lesions where the images come from")
    ] = None
    metadata: Annotated[
        str | None, Field(description="For models that take them, of all images: as in age=55,sex=female")
    ] = None
    heatmap: Annotated[bool, Field(description="Whether to return heatmaps")] = False
    check: Annotated[
        bool, Field(description="Whether to refuse images that are too small, too blurred or not dermoscopic")
    ] = True
    lenient: Annotated[
        bool, Field(description="Whether to answer 200 where no image can be used: each result says why anyway")
    ] = False


class ImageProblem(BaseModel):
    """Why there is no answer for an image."""

    code: str = Field(
        description="not_readable, too_many_pixels, blank, too_small, too_blurred, not_dermoscopic, unavailable or "
        "model_failed"
    )
    message: str = Field(description="In words, with what was expected")


class Heatmap(BaseModel):
    """Where the network found what raises the risk (vermilion) and what lowers it (blue)."""

    png: str = Field(description="PNG with transparency, base64, to lay over the whole image")
    strongest: float = Field(ge=0.0, description="Contribution, in log-odds, that has the full colour")
    width: int = Field(ge=1, description="Of the whole image in pixels, turned upright")
    height: int = Field(ge=1, description="Of the whole image in pixels, turned upright")


class ImageResult(BaseModel):
    """What the model says of one image, or why it says nothing. Not a diagnosis."""

    name: Annotated[str, Field(description="As the file was called by its sender")]
    risk: Annotated[Share | None, Field(description="Probability of the malignant classes")] = None
    decision: Annotated[Literal["malignant", "benign"] | None, Field(description="At the operating point")] = None
    triage: Annotated[str | None, Field(description="low, uncertain or high, by the model's two thresholds")] = None
    risk_at_prevalence: Annotated[Share | None, Field(description="The risk at the prevalence asked for")] = None
    familiarity: Annotated[
        Share | None,
        Field(description="Share of the validation images that are less like the training images; null if not told"),
    ] = None
    unfamiliar: Annotated[
        bool | None, Field(description="Whether it is unlike the images that the model learned from; null if not told")
    ] = None
    probabilities: Annotated[dict[str, float], Field(description="Of each class")] = {}
    heatmap: Annotated[Heatmap | None, Field(description="If asked for")] = None
    note: Annotated[str, Field(description="What to know of how the file was read; empty if nothing")] = ""
    error: ImageProblem | None = None


class PredictAnswer(BaseModel):
    """The results of a request, in the order of its images."""

    fingerprint: Annotated[str, Field(description="Of the model, as `GET /v1/model` gives it")]
    operating_point: str
    threshold: Annotated[Share, Field(description="Malignant if the risk is this or more")]
    prevalence: float | None = None
    predictions: list[ImageResult]
    disclaimer: str = DISCLAIMER


class Problem(BaseModel):
    """What went wrong with a request."""

    code: str = Field(description="A word for programs")
    message: str = Field(description="What happened, what was expected and how to fix it")


class ErrorAnswer(BaseModel):
    """The one form of every error."""

    error: Problem


class NoAnswer(ErrorAnswer):
    """No image of the request could be used; `predictions` says why for each. Absent if the request itself is wrong."""

    predictions: list[ImageResult] | None = None


class Status(BaseModel):
    """Whether the server lives, or is ready."""

    status: Literal["ok"]


class ModelAnswer(BaseModel):
    """The model's description as in the model file, and what the page needs next to it."""

    model: dict[str, Any] = Field(description="The description of the model file: see docs/model-file.md")
    fingerprint: str = Field(description="SHA-256 of that description: each answer of predict names it")
    heatmap_colours: dict[str, Any] = Field(description="Of what raises and lowers the risk, and the strongest opacity")
    limits: dict[str, int] = Field(description="Of this server: bytes and images a request, pixels an image")

"""Nevus: skin-lesion risk assessment from dermoscopic images. For research and education only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nevus.core.errors import NevusError

if TYPE_CHECKING:
    from nevus.serve.predictor import Prediction, Predictor, load

__version__ = "0.1.0"

__all__ = ["NevusError", "Prediction", "Predictor", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # ONNX Runtime is loaded when it is first asked for, so that `nevus --help` and the training stages go without.
    if name in ("Prediction", "Predictor", "load"):
        from nevus.serve import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module 'nevus' has no attribute '{name}'")

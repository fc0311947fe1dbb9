"""Nevus: skin-lesion risk assessment from dermoscopic images. For research and education only.

`load` and `Predictor.predict` use a model. Every other function does what the command of its name does: `prepare`,
`split`, `audit`, `train`, `evaluate`, `export` and `report` make a model, `run` is all of them, and `demo` is `run` on
generated images; `validate` judges a model on images from elsewhere, and `adapt` updates one for a place; `explain`,
`probe`, `stress` and `compare` look into models that were made.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nevus.core.errors import NevusError

if TYPE_CHECKING:
    from nevus.core.config import Config
    from nevus.core.dataset import Dataset
    from nevus.core.runs import Run
    from nevus.pipeline.adapting import adapt
    from nevus.pipeline.comparing import compare
    from nevus.pipeline.demo import demo
    from nevus.pipeline.explaining import explain
    from nevus.pipeline.probing import probe
    from nevus.pipeline.run import run
    from nevus.pipeline.stages import audit, evaluate, export, prepare, report, split, train
    from nevus.pipeline.stressing import stress
    from nevus.pipeline.validating import validate
    from nevus.serve.prediction import Prediction
    from nevus.serve.predictor import Predictor, load

__version__ = "0.1.0"

__all__ = [
    "Config",
    "Dataset",
    "NevusError",
    "Prediction",
    "Predictor",
    "Run",
    "__version__",
    "adapt",
    "audit",
    "compare",
    "demo",
    "evaluate",
    "explain",
    "export",
    "load",
    "prepare",
    "probe",
    "report",
    "run",
    "split",
    "stress",
    "train",
    "validate",
]

# Loaded when they are first asked for, so that `nevus --help` goes without ONNX Runtime.
_MODULES = {
    **dict.fromkeys(("Predictor", "load"), "nevus.serve.predictor"),
    "Prediction": "nevus.serve.prediction",
    **dict.fromkeys(("audit", "evaluate", "export", "prepare", "report", "split", "train"), "nevus.pipeline.stages"),
    "run": "nevus.pipeline.run",
    "adapt": "nevus.pipeline.adapting",
    "compare": "nevus.pipeline.comparing",
    "demo": "nevus.pipeline.demo",
    "explain": "nevus.pipeline.explaining",
    "probe": "nevus.pipeline.probing",
    "stress": "nevus.pipeline.stressing",
    "validate": "nevus.pipeline.validating",
    "Config": "nevus.core.config",
    "Dataset": "nevus.core.dataset",
    "Run": "nevus.core.runs",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'nevus' has no attribute '{name}'")

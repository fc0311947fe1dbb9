"""Another description for a model file that is there, without training or exporting again.

For a field that a new version of Nevus has, a licence that is stated later, or a text that was wrong. The graph stays
as it is, byte for byte, and must still give its golden answers; what it does cannot be described otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from nevus.core.errors import ModelFileError, ParityError
from nevus.core.files import read_json, replacing, sha256_of, write_json
from nevus.core.modelfile import ModelSpec, golden_pixels, parse_spec
from nevus.core.runs import Run
from nevus.core.vocabulary import EXPORTED_FILES
from nevus.learn.export.formats import FORMATS

# What the graph computes, or was computed by it.
OF_THE_GRAPH = (
    "num_parameters",
    "image_size",
    "classes",
    "temperature",
    "class_weights",
    "golden",
    "clinical",
    "familiarity",
)
# Formats of one suffix are described and opened alike; the first stands for all.
_FORMATS_BY_SUFFIX = {Path(file).suffix: name for name, file in reversed(EXPORTED_FILES.items())}
# As the parity gate holds golden inputs that are resized: machines differ by less, another graph by more.
_TOLERANCE = 0.01


def rewrite_description(path: Path, changes: Mapping[str, Any]) -> ModelSpec:
    """Writes the description of a model file again, in the form of this version of Nevus.

    In a run's folder, `parity.json` gets the new SHA-256 and size too: the graph that was compared is the same.

    Args:
        path: an ONNX, LiteRT or Keras file that Nevus wrote, of any schema version that can be read.
        changes: fields of the description, as its JSON has them; none brings the file to the schema version of today.

    Returns:
        The new description.

    Raises:
        ModelFileError: the file is not a model file of Nevus, or a field is unknown, wrong, or built into the graph.
        ParityError: the file does not give the golden answers that it describes; it stays as it was.
    """
    if path.suffix.lower() not in _FORMATS_BY_SUFFIX:
        raise ModelFileError(f"{path}: expected a file that ends in one of {', '.join(_FORMATS_BY_SUFFIX)}.")
    made = FORMATS[_FORMATS_BY_SUFFIX[path.suffix.lower()]]
    content = path.read_bytes()
    try:
        before = parse_spec(made.description(content))
        spec = parse_spec(_changed(before, changes))
    except ModelFileError as problem:
        raise ModelFileError(f"{path}: {problem}") from None
    rewritten = made.with_description(content, spec.to_json())
    graph = onnx.load_from_string(content).graph.SerializeToString() if path.suffix.lower() == ".onnx" else b""
    if not (graph in content and graph in rewritten):
        raise ModelFileError(f"{path}: its graph would not stay as it is, byte for byte. Export the model again.")
    answer = made.opened(rewritten)
    for case in spec.golden:
        answers = answer(golden_pixels(case.height, case.width)[None], 1)
        found, expected = [*answers.probabilities[0], answers.risk[0]], [*case.probabilities, case.risk]
        if not np.allclose(found, expected, rtol=0, atol=_TOLERANCE):
            raise ParityError(
                f"{path} answers {found} for the golden input of {case.height} x {case.width}, and describes "
                f"{expected}. The file was left as it is. Export the model again."
            )
    entries = _entries_of(path)
    with replacing(path) as temporary:
        temporary.write_bytes(rewritten)
        for entry in entries.values():
            if isinstance(entry, dict) and entry.get("file") == path.name and entry.get("sha256") == sha256_of(path):
                entry |= {"sha256": sha256_of(temporary), "num_bytes": len(rewritten)}
                write_json(Run(path.parent).parity_json, entries)
    return spec


def _entries_of(path: Path) -> dict[str, Any]:
    parity = Run(path.parent).parity_json
    entries = read_json(parity, "Delete it, or run 'nevus export' again.") if parity.exists() else {}
    return entries if isinstance(entries, dict) else {}


def _changed(spec: ModelSpec, changes: Mapping[str, Any]) -> str:
    free = [name for name in spec.__dataclass_fields__ if name not in OF_THE_GRAPH]
    for name in changes:
        if name not in free:
            raise ModelFileError(
                f"'{name}' is not a field of the description that can be changed. Expected one of: {', '.join(free)}. "
                "What else a file says of itself is what its graph does: export the model again."
            )
    return json.dumps({**json.loads(spec.to_json()), **changes})

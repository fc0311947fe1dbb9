"""Opening a model file: what is checked before a stranger's graph may answer.

Owns the checks and the options of ONNX Runtime; decodes no image and gives no prediction.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import onnxruntime

from nevus.core import model_archive, model_onnx
from nevus.core.errors import ModelFileError
from nevus.core.modelfile import CLINICAL_INPUT, INPUT, ModelSpec, parse_spec
from nevus.core.terminal import printable
from nevus.core.vocabulary import ARCHIVED_SUFFIXES
from nevus.serve.graph_check import check_graph
from nevus.serve.graph_nodes import read_graph
from nevus.serve.graph_size import check_size

MAX_MODEL_BYTES = 512 * 1024 * 1024

# Images that go through the model together, in one thread. More are slower: what one layer hands to the next no longer
# fits in the core's own memory.
MAX_BATCH = 4
# Larger images go in smaller batches: 4 of 512 x 512 pixels, 1 of 1024 x 1024.
MAX_BATCH_PIXELS = 4 * 512 * 512

# The highest level of ONNX Runtime's log.
_FATAL_ONLY = 4


class _Tensor(NamedTuple):
    """An input or output of a graph; a size that may vary is a name or None."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.type} {list(self.shape)}"


def open_model(path: Path) -> tuple[onnxruntime.InferenceSession, ModelSpec]:
    """Opens and checks a model file.

    Args:
        path: a `model.onnx` that `nevus export` wrote.

    Returns:
        The session, and the file's description.

    Raises:
        ModelFileError: the file is missing, damaged or too large, or no model file of Nevus.
    """
    if path.suffix.lower() in ARCHIVED_SUFFIXES:
        raise ModelFileError(
            f"{path} is not an ONNX model; only ONNX files can be used for prediction. Expected a model.onnx that "
            "'nevus export' wrote; 'nevus info' reads any."
        )
    return open_content(path, read_model(path))


def open_content(path: Path, content: bytes) -> tuple[onnxruntime.InferenceSession, ModelSpec]:
    """Opens and checks the bytes of a model file; args and errors are those of `open_model`, which names `path`."""
    spec = _described(path, content)
    try:
        check_size(read_graph(content), spec.image_size, batch_size(spec.image_size))
    except ModelFileError as problem:
        raise ModelFileError(
            f"{path} cannot be opened as a model: {problem}. Expected a model.onnx that 'nevus export' wrote."
        ) from None
    try:
        # The fallback retries a failed start and prints to standard output.
        session = onnxruntime.InferenceSession(
            content, _options(), providers=["CPUExecutionProvider"], enable_fallback=0
        )
        # An input with a default is to ONNX Runtime an initializer that may be overridden.
        tensors = [*session.get_inputs(), *session.get_overridable_initializers(), *session.get_outputs()]
        found = [_Tensor(tensor.name, tensor.type, tuple(tensor.shape)) for tensor in tensors]
    except Exception as problem:  # ONNX Runtime's errors have no common base, and damaged names raise others.
        raise ModelFileError(
            f"{path} cannot be opened as an ONNX model ({first_line(problem)}). "
            "Expected a model.onnx that 'nevus export' wrote; it may be damaged: copy or export it again."
        ) from None
    _check_tensors(path, found, spec)
    return session, spec


def batch_size(image_size: int) -> int:
    """The most images of a size that should go through a model together."""
    return max(1, min(MAX_BATCH, MAX_BATCH_PIXELS // image_size**2))


def read_spec(path: Path) -> ModelSpec:
    """The description of a model file in any format; it is checked, and nothing of the file is run.

    Args:
        path: a file that `nevus export` wrote.

    Raises:
        ModelFileError: as of `open_model`.
    """
    content = read_model(path)
    if path.suffix.lower() not in ARCHIVED_SUFFIXES:
        return _described(path, content)
    try:
        return parse_spec(model_archive.read_description(content))
    except ModelFileError as problem:
        raise ModelFileError(f"{path}: {problem}") from None


def _described(path: Path, content: bytes) -> ModelSpec:
    """The description of an ONNX file, whose graph is checked too; errors as of `open_model`."""
    try:
        check_graph(content)
    except ModelFileError as problem:
        raise ModelFileError(
            f"{path} cannot be opened as a model: {problem}. "
            "Expected a model.onnx that 'nevus export' wrote; it may be damaged: copy or export it again."
        ) from None
    try:
        return parse_spec(model_onnx.read_description(content))
    except ModelFileError as problem:
        raise ModelFileError(f"{path}: {problem}") from None


def read_model(path: Path) -> bytes:
    """The bytes of a model file.

    Raises:
        ModelFileError: it is missing, no regular file, empty, too large, or cannot be read.
    """
    try:
        if not path.is_file():
            found = "is not a regular file" if path.exists() else "does not exist"
            raise ModelFileError(f"{path} {found}. Expected a model.onnx that 'nevus export' wrote.")
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise ModelFileError(
                f"{path} is larger than {MAX_MODEL_BYTES // 2**20} MiB. "
                "Expected a model.onnx that 'nevus export' wrote."
            )
        if size == 0:
            raise ModelFileError(f"{path} is empty. Copy or export the model again.")
        return path.read_bytes()
    except OSError as problem:
        raise ModelFileError(f"{path} cannot be read ({problem.strerror}).") from None


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # Python raises what went wrong; ONNX Runtime's own lines on standard error would come on top.
    options.log_severity_level = _FATAL_ONLY
    # What was checked is ONNX: a file may be that and, from its fifth byte on, ONNX Runtime's own format as well.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # A graph must not read other files as its weights: this is not a folder, so none is found in it.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    # Every core has images of its own to decode and score: threads within one pass cost more than they bring.
    options.intra_op_num_threads = 1
    return options


def _check_tensors(path: Path, found: list[_Tensor], spec: ModelSpec) -> None:
    num_classes = len(spec.classes.names)
    expected = [_Tensor(INPUT, "tensor(uint8)", (None, None, None, 3))]
    if spec.clinical:
        expected.append(_Tensor(CLINICAL_INPUT, "tensor(float)", (None, len(spec.clinical))))
    shapes = ((None, num_classes), (None,), (None, None, None), (None,))
    expected += [_Tensor(name, "tensor(float)", shape) for name, shape in zip(spec.outputs, shapes, strict=False)]
    agree = len(found) == len(expected) and all(map(_fits, found, expected))
    if not agree:
        raise ModelFileError(
            f"{path}: the graph's inputs and outputs are {printable(', '.join(map(str, found)))}. "
            f"Expected {', '.join(map(str, expected))}. Export the model again."
        )


def _fits(tensor: _Tensor, expected: _Tensor) -> bool:
    return (
        (tensor.name, tensor.type) == (expected.name, expected.type)
        and len(tensor.shape) == len(expected.shape)
        and all(wanted in (None, size) for size, wanted in zip(tensor.shape, expected.shape, strict=True))
    )


def first_line(problem: Exception) -> str:
    """What an error of ONNX Runtime says, in one line; it may quote names that steer a terminal."""
    return printable((str(problem).splitlines() or [""])[0][:200]) or type(problem).__name__

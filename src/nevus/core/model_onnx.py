"""The description in ONNX model files: a property of the file under the key `nevus`, written and read on its bytes.

No runtime and no onnx package is needed for it: to ask a model file what it is runs nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from nevus.core.errors import ModelFileError
from nevus.core.onnx_wire import fields, head_of, message_of, text_of, varint_of
from nevus.core.seal import sealed, unsealed

DESCRIPTION_KEY = "nevus"

# Of the properties in a model, and of the key and the value in a property.
_PROPERTY, _KEY, _VALUE = 14, 1, 2


def add_description(content: bytes, text: str) -> bytes:
    """The file with `text` and its digest as its description, behind all else, and in place of one that is there.

    Raises:
        ModelFileError: the bytes are not an ONNX file.
    """
    rest = b"".join(_rest(content))
    entry = text_of(_KEY, DESCRIPTION_KEY) + text_of(_VALUE, sealed(text, [rest]))
    return rest + message_of(_PROPERTY, entry)


def read_description(content: bytes) -> str:
    """The description that `add_description` put into a file, which may be hostile, without its digest.

    Raises:
        ModelFileError: the bytes are not an ONNX file, it has no description or two, or its digest is of another file.
    """
    properties = [_property(value) for number, value in fields("model", memoryview(content)) if number == _PROPERTY]
    texts = [text for key, text in properties if key == DESCRIPTION_KEY]
    if not texts:
        raise ModelFileError(
            f"It is an ONNX model without the description of Nevus (key '{DESCRIPTION_KEY}'). "
            "Expected a model.onnx that 'nevus export' wrote."
        )
    if len(texts) > 1:
        raise ModelFileError(f"It holds {len(texts)} descriptions. Expected one. Export the model again.")
    return unsealed(texts[0], _rest(content))


def _rest(content: bytes) -> Iterator[bytes | memoryview]:
    """The fields of a file but the description, as they are written in it; the graph itself is not copied."""
    for number, value in fields("model", memoryview(content)):
        if isinstance(value, int):
            yield varint_of(number << 3) + varint_of(value)
        elif number != _PROPERTY or _property(value)[0] != DESCRIPTION_KEY:
            yield head_of(number, len(value))
            yield value


def _property(message: int | memoryview) -> tuple[str, str]:
    """Key and value of a property.

    Raises:
        ModelFileError: it has two of either, or one is not UTF-8.
    """
    assert isinstance(message, memoryview), "the reader lets no other type pass"
    found: dict[int, str] = {}
    for number, value in fields("property", message):
        if number in found or isinstance(value, int):
            raise ModelFileError("It is not an ONNX file: a property of it has two keys or two values.")
        try:
            found[number] = bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            raise ModelFileError("It is not an ONNX file: a property of it is not UTF-8.") from None
    return found.get(_KEY, ""), found.get(_VALUE, "")

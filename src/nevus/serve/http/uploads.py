"""The images of a multipart request, read into memory within the limits.

Nothing is spooled to a file: what a caller sends leaves no trace on disk.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from nevus.serve.http.errors import ApiError
from nevus.serve.http.settings import Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "images"
_MAX_OTHER_PARTS = 32
_MAX_HEADER_BYTES = 8 * 1024  # Of a part. Older python-multipart has no limit of its own.


class Upload(NamedTuple):
    """One image as it was sent: the name its sender gave it, or 'image 3', and the bytes of the file."""

    name: str
    content: bytes


async def read_images(request: Request, settings: Settings) -> list[Upload]:
    """Reads the parts called `images` of a multipart body.

    Raises:
        ApiError: the body is not multipart, damaged, too large or too slow, or holds no image or too many.
        ClientDisconnect: the sender went away.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise ApiError(
            415, "unsupported_media_type", f"Expected multipart/form-data with files in the field '{FIELD}'."
        )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > settings.max_bytes:
        raise _too_large(settings)
    form = _Form(settings.max_images)
    received = 0
    try:
        parser = MultipartParser(options[b"boundary"], form.callbacks())
        async with asyncio.timeout(settings.upload_seconds):
            async for chunk in request.stream():
                received += len(chunk)
                if received > settings.max_bytes:
                    raise _too_large(settings)
                parser.write(chunk)
        parser.finalize()
    except TimeoutError:
        raise ApiError(
            408, "upload_too_slow", f"The body did not arrive within {settings.upload_seconds:g} seconds."
        ) from None
    except (FormParserError, UnicodeDecodeError):
        raise _malformed() from None
    if not form.is_whole:
        raise ApiError(400, "malformed_multipart", "The multipart body ends before its last boundary.")
    if not form.uploads:
        raise ApiError(422, "no_images", f"Expected one or more files in the field '{FIELD}'. Received none.")
    return form.uploads


class _Form:
    """Collects the parts while the parser reads."""

    def __init__(self, max_images: int) -> None:
        self.uploads: list[Upload] = []
        self.is_whole = False
        self._max_images = max_images
        self._num_others = 0
        self._num_header_bytes = 0
        self._header, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._name: str | None = None
        self._content = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": partial(self._take_header, self._header),
            "on_header_value": partial(self._take_header, self._value),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._take_content,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._num_header_bytes = 0
        self._disposition, self._name = b"", None
        self._content = bytearray()

    def _take_header(self, taken: bytearray, data: bytes, start: int, end: int) -> None:
        self._num_header_bytes += end - start
        if self._num_header_bytes > _MAX_HEADER_BYTES:
            raise _malformed()
        taken += data[start:end]

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") != FIELD.encode():
            self._num_others += 1
            if self._num_others > _MAX_OTHER_PARTS:
                raise ApiError(413, "too_many_parts", f"Expected the field '{FIELD}' only. Received many others.")
            return
        number = len(self.uploads) + 1
        if number > self._max_images:
            raise ApiError(
                413, "too_many_images", f"Expected at most {self._max_images} images a request. Send several requests."
            )
        self._name = options.get(b"filename", b"").decode("utf-8", "replace") or f"image {number}"

    def _take_content(self, data: bytes, start: int, end: int) -> None:
        if self._name is not None:
            self._content += data[start:end]

    def _end(self) -> None:
        if self._name is not None:
            self.uploads.append(Upload(self._name, bytes(self._content)))

    def _finish(self) -> None:
        self.is_whole = True


def _malformed() -> ApiError:
    return ApiError(
        400,
        "malformed_multipart",
        f"The multipart body is damaged or cut off, or a part's headers are too long: expected {_MAX_HEADER_BYTES:,} "
        "bytes at most. Shorten the file's name.",
    )


def _too_large(settings: Settings) -> ApiError:
    return ApiError(
        413, "request_too_large", f"Expected a body of at most {settings.max_bytes:,} bytes. Send fewer images at once."
    )

"""The scans of a JPEG file: what decoding them costs, and whether a file lacks only its end marker.

From ITU-T T.81: B.1.1 (markers), B.2.2 (frame header), B.2.3 (scan header), G.1.1 (progressive coding).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

END = b"\xff\xd9"
_START_OF_SCAN = b"\xff\xda"
# All start-of-frame markers but DHT, JPG and DAC, which lie among them.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = 0xC2


class _Frame(NamedTuple):
    is_progressive: bool
    components: frozenset[int]


class _Scan(NamedTuple):
    """Which components it has, from and up to which coefficient, and how many bits are left out."""

    components: tuple[int, ...]
    first: int
    last: int
    bits_left: int


def most_scans(data: bytes) -> int:
    """How many scans a file has at most; those of a thumbnail within it count as well."""
    return data.count(_START_OF_SCAN)


def is_progressive(data: bytes) -> bool:
    """Whether a file is coded in several passes, whose coefficients are all held until the last."""
    frame, _ = _headers(data)
    return frame is not None and frame.is_progressive


def has_all_scans(data: bytes) -> bool:
    """Whether the scans of a file, taken as whole, give every coefficient of every component to its last bit."""
    frame, scans = _headers(data)
    if frame is None:
        return False
    wanted = {(component, place) for component in frame.components for place in range(64)}
    given = {
        (component, place)
        for scan in scans
        if scan.bits_left == 0
        for component in scan.components
        for place in range(scan.first, scan.last + 1)
    }
    return wanted <= given


def with_end(data: bytes) -> bytes:
    """The file with an end marker, of which it may have the first byte."""
    return data.removesuffix(END[:1]) + END


def with_more_data(data: bytes) -> Iterator[bytes]:
    """The file with coded data between its last byte and the end marker.

    Where its last scan is whole, a decoder is done before it comes to that data: the pixels are those of `with_end`.
    """
    for filler in (b"\x55", b"\xaa"):
        yield data.removesuffix(END[:1]) + 64 * filler + END


def _headers(data: bytes) -> tuple[_Frame | None, list[_Scan]]:
    """The frame, and the scans in order."""
    frame, at = None, 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _START_OF_SCAN[1]:
            break
        if marker in _FRAMES:
            number = data[at + 9] if at + 9 < len(data) else 0
            frame = _Frame(marker == _PROGRESSIVE, frozenset(data[at + 10 : at + 10 + 3 * number : 3]))
        at += 1 if marker == 0xFF else 2 + length
    # In coded data 0xFF is followed by 0 or by a marker.
    starts = (match.start() for match in re.finditer(_START_OF_SCAN, data[at:]))
    scans = (_scan(data[at + start + 4 : at + start + 4 + 12]) for start in starts)
    return frame, [scan for scan in scans if scan is not None]


def _scan(header: bytes) -> _Scan | None:
    """What a scan's header says from its number of components on; None if it is cut off."""
    number = header[0] if header else 0
    if len(header) < 4 + 2 * number:
        return None
    first, last, bits = header[1 + 2 * number : 4 + 2 * number]
    return _Scan(tuple(header[1 : 1 + 2 * number : 2]), first, last, bits & 0x0F)

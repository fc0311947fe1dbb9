"""Colour profiles written by hand, as cameras and screens have them, and what a colour in one is in sRGB."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

# Chromaticities of red, green and blue, the white, and the exponent of the curve. Sources: SMPTE EG 432-1 with a
# plain gamma, Adobe RGB (1998) Color Image Encoding, ISO 22028-2 (ROMM RGB), IEC 61966-2-1 with a plain gamma.
D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)
SPACES = {
    "Display P3": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), D65, 2.2),
    "Adobe RGB": (((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65, 563 / 256),
    "ProPhoto RGB": (((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), D50, 461 / 256),
}
SRGB = (((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), D65, 2.2)
# The white of the space between profiles, ICC.1:2022, 7.2.16.
_PCS = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

Matrix = NDArray[np.float64]


def _xyz(chromaticity: tuple[float, float]) -> Matrix:
    x, y = chromaticity
    return np.array([x / y, 1.0, (1 - x - y) / y])


def to_pcs(space: tuple[object, ...]) -> Matrix:
    """Linear RGB of a space to XYZ under the white between profiles, by Bradford's adaptation."""
    primaries, white, _ = space
    columns = np.stack([_xyz(each) for each in primaries], axis=1)
    matrix = columns * np.linalg.solve(columns, _xyz(white))
    cones = (_BRADFORD @ _PCS) / (_BRADFORD @ _xyz(white))
    return np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ matrix


def profile(name: str) -> bytes:
    """A profile of ICC version 2.4: three primaries and a gamma."""
    space = SPACES[name]
    fixed = [struct.pack(">3i", *np.rint(65536 * column).astype(int)) for column in to_pcs(space).T]
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * space[2])) + bytes(2)
    text = name.encode() + b"\0"
    described = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    white = struct.pack(">3i", *np.rint(65536 * _PCS).astype(int))
    tags = {b"desc": described, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": b"XYZ " + bytes(4) + white}
    tags |= {key: b"XYZ " + bytes(4) + value for key, value in zip((b"rXYZ", b"gXYZ", b"bXYZ"), fixed, strict=True)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for key, value in tags.items():
        table += key + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s12x4s", size, bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    header += bytes(28) + struct.pack(">3i", *np.rint(65536 * _PCS).astype(int))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def in_srgb(pixels: NDArray[np.uint8], name: str) -> Matrix:
    """What colours of a space are in sRGB, in levels of 255: IEC 61966-2-1."""
    linear = (pixels / 255.0) ** SPACES[name][2] @ (np.linalg.inv(to_pcs(SRGB)) @ to_pcs(SPACES[name])).T
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)

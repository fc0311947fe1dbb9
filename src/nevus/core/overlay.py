"""Heatmaps as pictures: in colour over the image in grey, and side by side with the image and a scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nevus.core.colours import LOWERS, RAISES, STRONGEST, rgb
from nevus.core.preprocess import Pixels

# The picture beneath is light and grey.
_LIGHTENED = 0.35
# Contributions below this are noise of float16, in which heatmaps may be kept.
_LEAST_SCALE = float(np.finfo(np.float16).tiny)

# Of a picture with its scale, in pixels.
_HEIGHT, _MARGIN, _SCALE_WIDTH, _LINE, _FONT_SIZE = 320, 12, 130, 18, 13


def overlaid(pixels: Pixels, heatmap: NDArray[np.floating], scale: float) -> Pixels:
    """A heatmap in colour over its image in grey.

    Args:
        pixels: uint8 [height, width, 3], RGB.
        heatmap: [map_height, map_width], signed.
        scale: the contribution that gets the full colour; with 0 nothing is coloured.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    height, width = pixels.shape[:2]
    finite = np.nan_to_num(heatmap.astype(np.float32), posinf=scale, neginf=-scale)
    smooth = np.asarray(Image.fromarray(finite).resize((width, height), Image.Resampling.BILINEAR))
    strength = (
        np.clip(smooth / scale, -1.0, 1.0)[..., np.newaxis] if scale > _LEAST_SCALE else np.zeros((height, width, 1))
    )
    grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float64)[..., np.newaxis]
    base = grey * (1.0 - _LIGHTENED) + 255.0 * _LIGHTENED
    colour = np.where(strength > 0, rgb(RAISES), rgb(LOWERS))
    share = STRONGEST * np.abs(strength)
    return np.rint(base * (1.0 - share) + colour * share).astype(np.uint8)


def side_by_side(image: Image.Image, heatmap: NDArray[np.floating], scale: float, lines: Sequence[str]) -> Image.Image:
    """An image, the same with its heatmap, and the scale of the colours, above lines of text.

    Args:
        image: in mode RGB, of any size.
        heatmap: [map_height, map_width], signed: positive raises the risk.
        scale: the contribution to the log-odds of malignant that gets the full colour.
        lines: what to write below; cut at the picture's width.
    """
    width = max(1, round(image.width * _HEIGHT / image.height))
    # A panorama or a sliver would make a picture of any width.
    small = image.resize((min(max(width, _HEIGHT // 4), 3 * _HEIGHT), _HEIGHT), Image.Resampling.BICUBIC)
    shown = overlaid(np.asarray(small), heatmap, scale)
    total_width = 2 * small.width + 3 * _MARGIN + _SCALE_WIDTH
    sheet = Image.new("RGB", (total_width, _HEIGHT + 2 * _MARGIN + _LINE * len(lines) + _MARGIN), "white")
    sheet.paste(small, (_MARGIN, _MARGIN))
    sheet.paste(Image.fromarray(shown), (small.width + 2 * _MARGIN, _MARGIN))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_SIZE)
    _draw_scale(sheet, 2 * small.width + 3 * _MARGIN, scale)
    for number, line in enumerate(lines):
        draw.text((_MARGIN, _HEIGHT + 2 * _MARGIN + _LINE * number), line, "black", font)
    return sheet


def _draw_scale(sheet: Image.Image, x: int, scale: float) -> None:
    """A bar from the colour of what raises the risk, at the top, to that of what lowers it."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    ramp = np.linspace(1.0, -1.0, _HEIGHT)[:, np.newaxis].repeat(16, axis=1)
    grey = np.full((_HEIGHT, 16, 3), 160, dtype=np.uint8)
    sheet.paste(Image.fromarray(overlaid(grey, ramp, 1.0)), (x, _MARGIN))
    middle = _MARGIN + _HEIGHT // 2 - _LINE // 2
    texts = {
        _MARGIN: (f"+{scale:.2g}", "raises the risk"),
        middle: ("0",),
        _MARGIN + _HEIGHT - 2 * _LINE: (f"-{scale:.2g}", "lowers the risk"),
    }
    for y, parts in texts.items():
        for number, text in enumerate(parts):
            draw.text((x + 22, y + _LINE * number), text, "black", font)

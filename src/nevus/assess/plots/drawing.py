"""The house style of figures, and how a figure becomes inline SVG or a PNG file.

Owns colours, fonts and output formats; knows nothing of what is drawn. Figures
are made without pyplot, so drawing leaves no state behind and needs no screen.
matplotlib is imported when something is drawn, not before.
"""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nevus.core.estimate import Estimate, value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

INK, MUTED, GRID, PAPER = "#1f262e", "#5b6672", "#dde2e8", "#ffffff"
# Blue and vermilion stay apart for every kind of colour blindness, and light and dark apart in grey.
BENIGN, MALIGNANT = "#6aaed8", "#b03a06"

# In a page the colours are CSS variables with the light colour to fall back on, so that figures follow a dark theme.
_CSS_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    BENIGN: "--benign",
    MALIGNANT: "--malignant",
}

_POINTS_PER_INCH = 72
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # A dollar sign in a name is a dollar sign.
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 7,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "svg.fonttype": "none",  # Text stays text: smaller, searchable, and read aloud.
    "svg.hashsalt": "nevus",  # Equal figures give equal bytes.
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure ready to be drawn, with all that a reader needs to understand it.

    Attributes:
        name: file stem, and prefix of the ids inside the SVG.
        title: heading.
        caption: what the figure shows, in a sentence.
        reading: how to read it, for someone who meets this kind of figure for the first time.
        alternative: the same information as text, for those who do not see the figure.
        size: width and height in inches; 5 inches wide reads well on a phone.
        draw: draws on an empty figure.
    """

    name: str
    title: str
    caption: str
    reading: str
    alternative: str
    size: tuple[float, float]
    draw: Callable[[Figure], None]

    def of(self, images: str) -> Plot:
        """The same figure where there is another one of its kind, as in 'without the leaked images'."""
        return replace(
            self,
            name="-".join([self.name, *images.split()]),
            title=f"{self.title}, {images}",
            alternative=f"{self.alternative} These are the images {images}.",
        )

    def svg(self) -> str:
        """The figure as an SVG element for an HTML page, described by `alternative`."""
        with self._drawn() as figure:
            return self._svg(figure)

    def _repr_html_(self) -> str:
        """The figure as notebooks show it: on light paper whatever their theme, with how to read it."""
        return (
            f'<figure style="max-width:32rem;margin:0;padding:.8rem;background:{PAPER};color:{INK}">'
            f"<strong>{html.escape(self.title)}</strong>{self.svg()}<figcaption>{html.escape(self.caption)}<br>"
            f"<em>{html.escape(self.reading)}</em></figcaption></figure>"
        )

    def svg_and_png(self) -> tuple[str, bytes]:
        """The figure as in `svg`, and as a PNG file with a light background, 1,000 pixels wide for 5 inches."""
        with self._drawn() as figure:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=200, metadata={"Description": self.alternative})
            return self._svg(figure), buffer.getvalue()

    def _svg(self, figure: Figure) -> str:
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
        document = buffer.getvalue()
        # The page's own <svg> replaces the document's head; its global <style> is part of the page's CSS.
        body = document[document.index(">", document.index("<svg")) + 1 :]
        body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
        # Several figures share a page: their ids must differ.
        body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", body)
        for colour, variable in _CSS_VARIABLES.items():
            body = body.replace(colour, f"var({variable},{colour})")
        width, height = (length * _POINTS_PER_INCH for length in self.size)
        label = html.escape(self.alternative)
        return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}">{body}'

    @contextmanager
    def _drawn(self) -> Iterator[Figure]:
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # Whatever matplotlibrc the reader has.
            matplotlib.rcParams.update(_STYLE)
            figure = Figure(figsize=self.size)
            self.draw(figure)
            # Laid out once: as the figure's own engine it would do it again for each format.
            ConstrainedLayoutEngine().execute(figure)
            yield figure


def unit_square(figure: Figure, xlabel: str, ylabel: str, aspect: str = "equal") -> Axes:
    """The axes of a figure whose two quantities run from 0 to 1."""
    axes = figure.subplots()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel, aspect=aspect)
    return axes


def thin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Drops points within a thousandth of the axes of the one before: no eye sees them, and files stay small."""
    points = np.round(np.column_stack([x, y]), 3)
    moved = np.any(np.diff(points, axis=0, prepend=np.inf) != 0, axis=1)
    return points[moved, 0], points[moved, 1]


def interval_text(estimate: Estimate) -> str:
    """A value for a caption, with its interval if it has one."""
    if math.isnan(estimate.low):
        return value_text(estimate.value)
    return f"{estimate.value:.3f} (95 % interval {estimate.low:.3f} to {estimate.high:.3f})"

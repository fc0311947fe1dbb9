"""Pages without their plots, for tests of what a page says: drawing is most of the time that a page takes."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def undrawn() -> Iterator[None]:
    """Within it each plot is an empty SVG with the plot's text alternative, and an empty PNG file."""
    pytest.importorskip("sklearn")
    from nevus.assess.plots.drawing import Plot

    def svg_and_png(plot: Plot) -> tuple[str, bytes]:
        return f'<svg role="img" aria-label="{html.escape(plot.alternative)}"></svg>', b""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plot, "svg_and_png", svg_and_png)
        yield

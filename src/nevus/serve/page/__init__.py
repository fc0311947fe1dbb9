"""The page: the same files are served by `nevus serve` and written to a static folder by `nevus web`.

They differ in the engine that `index.html` names: `server.js` asks the server, `browser.js` runs the model itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nevus.core.colours import LOWERS, RAISES, STRONGEST
from nevus.core.modelfile import ModelSpec

PAGE = Path(__file__).with_name("static")
ENGINES = Path(__file__).with_name("engines")
SERVER_ENGINE = ENGINES / "server.js"
BROWSER_ENGINE = ENGINES / "browser.js"
RETIRING_WORKER = ENGINES / "retiring-worker.js"


def describe_model(spec: ModelSpec) -> dict[str, Any]:
    """What the page needs to know, for JSON: the model's description and the colours of its heatmaps."""
    return {
        "model": json.loads(spec.to_json()),
        "heatmap_colours": {"raises": RAISES, "lowers": LOWERS, "strongest": STRONGEST},
    }

"""Makes darkness.onnx, the model file of the tests of prediction, which run where Keras is not installed.

Run it after a change to the export: python tests/serve/make_darkness_model.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent

if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent / "learn"))
    from export_runs import make_darkness_model, make_run

    from nevus.learn.export import onnx_file
    from nevus.learn.export.export import export

    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "darkness", model=make_darkness_model(32))
        content = export(run, run.dataset).read_bytes()
    # No list of fingerprints lies next to it.
    description = json.loads(onnx_file.description(content))
    del description["provenance"]["fingerprints"]
    (HERE / "darkness.onnx").write_bytes(onnx_file.with_description(content, json.dumps(description)))

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
    import onnx
    from export_runs import make_darkness_model, make_run

    from nevus.core.model_onnx import DESCRIPTION_KEY, read_description
    from nevus.learn.export.export import export

    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "darkness", model=make_darkness_model(32))
        content = export(run, run.dataset).read_bytes()
    # No list of fingerprints lies next to it.
    description = json.loads(read_description(content))
    del description["provenance"]["fingerprints"]
    # Without a digest, as of a file of before there was one, so that tests can change its bytes.
    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, {DESCRIPTION_KEY: json.dumps(description)})
    (HERE / "darkness.onnx").write_bytes(model.SerializeToString())

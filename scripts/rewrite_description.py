#!/usr/bin/env python
"""Gives a model file another description without exporting it again: docs/file-versions.md.

python scripts/rewrite_description.py model.onnx                        # the schema version of today
python scripts/rewrite_description.py model.onnx licence='"CC BY 4.0"'  # FIELD=JSON, any number of them
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from nevus.core.errors import NevusError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="an ONNX, LiteRT or Keras file that nevus export wrote")
    parser.add_argument("fields", nargs="*", metavar="FIELD=JSON", help="of the description, with its new value")
    arguments = parser.parse_args(argv)
    changes = {}
    for field in arguments.fields:
        name, _, value = field.partition("=")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            parser.error(f"{field!r}: expected FIELD=JSON, such as licence='\"CC BY 4.0\"'")
    if not arguments.model.is_file():
        print(f"{arguments.model}: no such file. Expected a model file that nevus export wrote.", file=sys.stderr)
        return 1
    from nevus.learn.export.rewriting import rewrite_description

    try:
        spec = rewrite_description(arguments.model, changes)
    except (NevusError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    changed = ", ".join(changes) or "nothing but the schema version"
    print(f"{arguments.model}: changed {changed}; its {len(spec.golden)} golden answers are as before")
    return 0


if __name__ == "__main__":
    sys.exit(main())

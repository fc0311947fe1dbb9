"""Seconds until a training says that it has got there: `until_quality.py ROC_AUC COMMAND... [then COMMAND...]`.

Runs the commands one after the other and reads their epoch lines ('val ROC-AUC 0.9512'); the clock starts with the
first command's process and stops at the line, which ends the command. Prints the seconds, and the epochs that it took.
"""

from __future__ import annotations

import itertools
import json
import re
import resource
import subprocess
import sys
import time


def main() -> int:
    target, words = float(sys.argv[1]), sys.argv[2:]
    commands = [list(group) for is_then, group in itertools.groupby(words, lambda word: word == "then") if not is_then]
    start, epochs, best = time.perf_counter(), 0, 0.0
    said = ""
    for command in commands:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            for line in process.stderr:
                said = line
                if found := re.search(r"val ROC-AUC ([\d.]+)", line):
                    epochs, best = epochs + 1, max(best, float(found[1]))
                    if best >= target:
                        seconds = time.perf_counter() - start
                        process.kill()
                        process.wait()
                        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
                        print(json.dumps({"seconds": seconds, "epochs": epochs, "peak_bytes": peak}))
                        return 0
        if process.returncode:
            print(said, file=sys.stderr)
            return 1
    print(f"validation ROC-AUC reached {best:.4f} in {epochs} epochs, not {target}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

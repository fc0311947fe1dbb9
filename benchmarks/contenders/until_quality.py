"""Seconds until a training says that it has got there: `until_quality.py ROC_AUC AT_MOST COMMAND... [then COMMAND...]`.

Runs the commands one after the other and reads their epoch lines ('val ROC-AUC 0.9512'); the clock starts with the
first command's process and stops at the line, which ends the command. Prints the seconds, and the epochs that it took.
A training that is not there at the end of the first epoch after AT_MOST seconds is ended too: its seconds are then
fewer than it would have taken, and what it prints says so.
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
    target, at_most, words = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
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
                    seconds = time.perf_counter() - start
                    if best >= target or seconds >= at_most:
                        process.kill()
                        process.wait()
                        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
                        result = {"seconds": seconds, "epochs": epochs, "best": best, "peak_bytes": peak}
                        way = {} if best >= target else {"way": f"stopped at {best:.3f}"}
                        print(json.dumps(result | way))
                        return 0
        if process.returncode:
            print(said, file=sys.stderr)
            return 1
    print(f"validation ROC-AUC reached {best:.4f} in {epochs} epochs, not {target}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

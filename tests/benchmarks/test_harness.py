"""What the benchmark counts and how it takes turns; its figures themselves are not business of a test."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from harness import Contender, alternate, script  # noqa: E402


def printing(figure: float, key: str = "images_per_second") -> Contender:
    return Contender(
        f"prints {figure}", [sys.executable, "-c", f"print('noise'); print('{{\"{key}\": {figure}}}')"], key
    )


def test_contenders_take_turns_and_are_set_against_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    slow, fast = alternate([printing(10), printing(25)], rounds=2)
    turns = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()]
    assert turns == ["prints 10", "prints 25"] * 2
    assert (slow.figures, fast.median) == ([10, 10], 25)
    assert fast.speed_against(slow) == 2.5
    assert all(size > 2**20 for size in slow.peak_bytes)


def test_of_seconds_fewer_are_faster() -> None:
    slow, fast = alternate([printing(4, "seconds"), printing(2, "seconds")], rounds=1)
    assert fast.speed_against(slow) == 2


def test_a_contender_that_fails_says_why_and_the_others_go_on() -> None:
    broken = Contender("broken", [sys.executable, "-c", "import sys; sys.exit('no such thing')"], "images_per_second")
    failed, other = alternate([broken, printing(3)], rounds=2)
    assert (failed.failed, failed.figures) == ("no such thing", [])
    assert other.figures == [3, 3]


def until_quality(target: float, at_most: float) -> subprocess.CompletedProcess[str]:
    lines = "import sys\nfor v in (.91, .93, .96, .97): print(f'epoch  val ROC-AUC {v:.4f}  5 s', file=sys.stderr)"
    train = [sys.executable, "-c", lines]
    return subprocess.run(
        script("until_quality", target, at_most, sys.executable, "-c", "pass", "then", *train),
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_clock_stops_at_the_epoch_that_gets_there() -> None:
    printed = json.loads(until_quality(0.95, math.inf).stdout)
    assert printed["epochs"] == 3
    assert "way" not in printed


def test_a_training_that_does_not_get_there_is_no_time() -> None:
    done = until_quality(0.99, math.inf)
    assert done.returncode == 1
    assert "reached 0.9700 in 4 epochs" in done.stderr


def test_a_training_that_is_stopped_says_where_it_stood() -> None:
    printed = json.loads(until_quality(0.95, 0).stdout)
    assert (printed["epochs"], printed["way"]) == (1, "stopped at 0.910")


def test_operations_of_a_network_that_is_counted_by_hand() -> None:
    pytest.importorskip("onnx")
    from operations import operations

    # 1x1 convolution of 32 x 32 pixels, class maps of 8 x 8, the dense layer, the sum of the malignant classes,
    # and familiarity: one direction, two prototypes, 25 pieces of the line.
    by_hand = 2 * (32 * 32 * 3 + 8 * 8 * 2 + 1 + 2 + (1 + 2 + 25))
    assert operations(Path(__file__).parents[1] / "serve" / "darkness.onnx", 32) == by_hand

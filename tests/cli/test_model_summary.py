"""A stranger's words cannot pass for lines of ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nevus.cli.summary import model_summary, shipped_summary
from nevus.core.shipped import find_model
from nevus.serve.session import read_spec


def test_words_of_several_lines_are_printed_on_one() -> None:
    path = find_model("compact")
    spec = read_spec(path)
    words = dict.fromkeys(("licence", "trained_on", "intended_use", "limitations"), "said\r\n\tlicence      free")
    hostile = replace(spec, **words)
    for summary in (model_summary, lambda one: shipped_summary(Path(path), one)):
        assert len(summary(hostile).splitlines()) == len(summary(spec).splitlines())
        assert "said licence free" in summary(hostile)

"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import nevus


@pytest.mark.parametrize(
    "name", [path.stem for path in (Path(nevus.__file__).parent / "assess/statistics").glob("[!_]*.py")]
)
def test_statistics(name: str) -> None:
    pytest.importorskip("sklearn")
    found = doctest.testmod(importlib.import_module(f"nevus.assess.statistics.{name}"))
    assert found.attempted > 0
    assert not found.failed


def test_prediction() -> None:
    found = doctest.testmod(importlib.import_module("nevus.serve.predictor"))
    assert found.attempted >= 4
    assert not found.failed

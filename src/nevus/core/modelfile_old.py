"""Descriptions of older model files, brought to the form of today.

A step for each version, from its JSON to that of the next; `modelfile` reads and checks the outcome as it does any
other description. A step stays as long as files of its version are about.
"""

from __future__ import annotations

from typing import Any


def _add_triage_and_prevalence(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 says where low, uncertain and high risk begin, and for which prevalence the risks are right.

    No thresholds of a triage were chosen for a file of version 1, so every image is uncertain. All its networks
    were trained with class weights that made each class count the same: the risks are about right where it does.
    """
    classes = data["classes"]
    share = len(classes["malignant"]) / len(classes["names"])
    return {**data, "triage": {"rule_out": 0.0, "rule_in": None}, "assumed_prevalence": share}


def _tell_no_familiarity(data: dict[str, Any]) -> dict[str, Any]:
    """Version 3 may have a fourth output, and a limit for it; a graph of version 2 has three."""
    return {**data, "familiarity": None}


UPGRADES = {1: _add_triage_and_prevalence, 2: _tell_no_familiarity}

"""Why a metric cannot be computed: a warning to whoever calls a function, or a note to whoever collects notes.

Owns the one way in which the functions of this package say that something is NaN. Notes
belong to the thread or task that collects them, so two evaluations at once do not mix.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_NOTES: ContextVar[list[str] | None] = ContextVar("notes", default=None)


class UndefinedMetricWarning(UserWarning):
    """A metric is NaN, and the message says why."""


def undefined(metric: str, reason: str) -> float:
    """NaN, after saying that `metric` is undefined and why.

    Examples:
        >>> with collected_notes():
        ...     nan = undefined('F1', 'no image is malignant')
        >>> nan
        nan
    """
    say(f"{metric} is undefined: {reason}. It is given as NaN.")
    return float("nan")


def say(message: str) -> None:
    """Adds a message to the notes that are being collected; if nobody collects any, warns with it.

    Examples:
        >>> with collected_notes() as notes:
        ...     say('look again')
        >>> notes
        ['look again']
    """
    notes = _NOTES.get()
    if notes is None:
        warnings.warn(message, UndefinedMetricWarning, stacklevel=4)
    elif message not in notes:
        notes.append(message)


@contextmanager
def collected_notes() -> Iterator[list[str]]:
    """What is said within the block, each message once, in place of warnings.

    Examples:
        >>> with collected_notes() as notes:
        ...     _ = undefined("ROC-AUC", "no image is malignant")
        >>> notes
        ['ROC-AUC is undefined: no image is malignant. It is given as NaN.']
    """
    notes: list[str] = []
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)

"""What the library logs while it works, on standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

_LOGGER = logging.getLogger("nevus")


class _Lines(logging.Handler):
    """Writes a line for each record, to whatever standard error is by then."""

    def emit(self, record: logging.LogRecord) -> None:
        print(_line(record), file=sys.stderr, flush=True)


def _line(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.levelno >= logging.WARNING:
        return f"Warning: {text}"
    # The stages of the pipeline are headings of what is said within them.
    return f"== {text}" if record.name.startswith("nevus.pipeline") else text


@contextlib.contextmanager
def shown_on_stderr() -> Iterator[None]:
    """Shows what `nevus` logs, from information on, and hands it to no other handler."""
    handler, before = _Lines(), (_LOGGER.level, _LOGGER.propagate)
    _LOGGER.addHandler(handler)
    # Only this method makes the loggers below it forget what they knew of the level.
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(before[0])
        _LOGGER.propagate = before[1]

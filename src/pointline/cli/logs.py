"""Where the messages of the package go that its modules give to the loggers below ``pointline``."""

from __future__ import annotations

import logging
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pointline.cli.output import Settings

_ALL = logging.getLogger("pointline")
_KERNELS = logging.getLogger("pointline.kernels")  # say when they are compiled, which takes seconds
_mine: list[tuple[logging.Logger, logging.Handler]] = []


class _StandardError(logging.Handler):
    """Lines on standard error, wherever that leads when they come; errors are told elsewhere, and so is what a server says."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(form))

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR and record.name != "pointline.serve":
            sys.stderr.write(self.format(record) + "\n")


class _OneLine(logging.Formatter):
    """A record as one line with its time in UTC."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return "; ".join(line.strip() for line in super().format(record).splitlines())


def start(settings: Settings) -> None:
    """Sends messages where the settings say, and nowhere else that an earlier command chose.

    Raises:
        ConfigError: the log file cannot be written.
    """
    stop()
    if settings.verbose:
        _add(_ALL, logging.DEBUG, _StandardError("%(name)s: %(message)s"))
    elif not settings.quiet and not settings.json:
        _add(_KERNELS, logging.INFO, _StandardError("%(message)s"))
    if settings.log is not None:
        handler = _file(settings.log)
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        _add(_ALL, logging.DEBUG, handler)
    if settings.verbose or settings.log is not None:
        from pointline import __version__

        _ALL.info("pointline %s, Python %s, in %s", __version__, platform.python_version(), Path.cwd())


def _file(path: Path) -> logging.Handler:
    try:
        return logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(
            "the log file cannot be written", where=str(path), value=error.strerror, expected="a file in an existing folder"
        ) from error


def _add(logger: logging.Logger, level: int, handler: logging.Handler) -> None:
    logger.setLevel(level)
    logger.addHandler(handler)
    _mine.append((logger, handler))


def error(text: str) -> None:
    """Appends an error to the log file, where there is one."""
    if any(isinstance(handler, logging.FileHandler) for _, handler in _mine):
        _ALL.error(text)


def stop() -> None:
    """Takes back what `start` did."""
    while _mine:
        logger, handler = _mine.pop()
        logger.removeHandler(handler)
        handler.close()
        logger.setLevel(logging.NOTSET)

"""The version of the package that is installed."""

from __future__ import annotations


def package_version() -> str:
    """The version, e.g. ``"0.1.0"``."""
    from importlib.metadata import PackageNotFoundError, version  # takes longer than all the rest of `pointline --help`

    try:
        return version("pointline")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0.1.0"

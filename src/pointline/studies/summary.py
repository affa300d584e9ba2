"""The summary of a study: figures by name, for machines, and as a table for people."""

from __future__ import annotations

from typing import Any

import polars as pl


class Summary(dict[str, Any]):
    """Figures of a study by name, JSON-ready; notebooks show them as a table.

    Examples:
        >>> Summary({"bars": 731, "coverage": {"perp": 1.0}}).frame().rows()
        [('bars', '731'), ('coverage.perp', '1.0')]
    """

    def frame(self) -> pl.DataFrame:
        """One row per figure: its name, those of nested figures joined by dots, and its value as text."""
        rows = [(name, _text(value)) for name, value in _flat("", self)]
        return pl.DataFrame(rows, schema={"figure": pl.String, "value": pl.String}, orient="row")

    def _repr_html_(self) -> str:
        from pointline.report.html import table_html

        return table_html(self.frame())


def _flat(prefix: str, value: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(value, dict) and value:
        return [row for name, inner in value.items() for row in _flat(f"{prefix}.{name}" if prefix else str(name), inner)]
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return [row for number, inner in enumerate(value) for row in _flat(f"{prefix}.{number}", inner)]
    return [(prefix, value)]


def _text(value: Any) -> str:  # noqa: ANN401 - as above
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

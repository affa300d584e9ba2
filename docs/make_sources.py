"""Writes the table of sources of docs/ingest.md from their entries: ``python docs/make_sources.py`` after one was added or changed."""  # noqa: INP001

from __future__ import annotations

from pathlib import Path

from pointline.sources.families import FAMILIES

PAGE = Path(__file__).with_name("ingest.md")
BEGIN, END = "<!-- begin: made by make_sources.py -->", "<!-- end -->"


def table() -> str:
    """A Markdown table with a row for each archive family, in the order in which they are asked."""
    unverified = {one.name: ", ".join(f"`{layout}`" for layout in one.unverified) for one in FAMILIES}
    lines = ["| Source | Recognised by | Tables | Unverified layouts |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| `{one.name}` | {one.recognised_by} | {one.tables} | {unverified[one.name]} |" for one in FAMILIES)])


def updated(page: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

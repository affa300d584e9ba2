"""Writes the tables of docs/features.md from the registry: ``python docs/make_features.py`` after a feature was added or changed."""  # noqa: INP001

from __future__ import annotations

import re
from pathlib import Path

from pointline.features import BUILT_IN, feature_table
from pointline.features.basis import BASIS_FEATURES
from pointline.features.carry import CARRY_FEATURES
from pointline.features.flow import FLOW_FEATURES
from pointline.features.funding import FUNDING_FEATURES
from pointline.features.venue import VENUE_FEATURES

PAGE = Path(__file__).with_name("features.md")
BEGIN, END = "<!-- begin: made by make_features.py -->", "<!-- end -->"
FAMILIES = {
    "Perp alone": [feature for feature in VENUE_FEATURES if feature.name.startswith("perp_")],
    "Spot alone": [feature for feature in VENUE_FEATURES if feature.name.startswith("spot_")],
    "Basis, and the two compared": BASIS_FEATURES,
    "Funding and open interest": FUNDING_FEATURES,
    "Flow": FLOW_FEATURES,
    "Carry": CARRY_FEATURES,
}


def tables() -> str:
    """A heading and a Markdown table for each family.

    Raises:
        ValueError: a built-in feature belongs to no family here.
    """
    rows = {row["name"]: row for row in feature_table().iter_rows(named=True)}
    placed = {feature.name for family in FAMILIES.values() for feature in family}
    if placed != BUILT_IN:
        raise ValueError(f"give these features a family: {sorted(BUILT_IN - placed)}")
    parts = []
    for title, family in FAMILIES.items():
        lines = [f"### {title}", "", "| Feature | Formula | Unit | Bars | Source | Published IC |", "|---|---|---|---|---|---|"]
        lines += [_row(rows[feature.name]) for feature in family]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _row(row: dict[str, object]) -> str:
    formula = re.sub(r" \* ", " × ", str(row["formula"])).replace("|", r"\|")
    published = "" if row["published_ic"] is None else f"{row['published_ic']:.2f}"
    return f"| `{row['name']}` | {formula} | {row['unit']} | {row['window']} | {row['source']} | {published} |"


def updated(page: str) -> str:
    """The page with its tables made anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""Draws the rooms of the code for docs/architecture.md: ``python docs/make_rooms.py`` after a room was added or moved.

The picture and the table are made from `ROOMS` in tests/test_architecture.py, which holds the imports of the code to it.
"""  # noqa: INP001

from __future__ import annotations

import ast
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.test_architecture import FACES, GROUND, PACKAGE, ROOMS  # noqa: E402 - the repository's root is not on the path before

PAGE = Path(__file__).with_name("architecture.md")
PICTURE = PAGE.parent / "images" / "rooms.svg"
BEGIN, END = "<!-- begin: made by make_rooms.py -->", "<!-- end -->"

BOX_W, BOX_H, GAP_X, GAP_Y, MARGIN = 116, 40, 36, 34, 24
LETTER_W, LINE_H = 8.2, 20
SWEEPS = 8
# Box colours that stand out from a light and from a dark page; the text in them is dark.
ROOM, GROUND_COLOUR, FACE, LINE = "#a9c7ea", "#cfd4da", "#f2c98f", "#8a93a0"


def placed() -> dict[str, frozenset[str]]:
    """The rooms between ground and faces, with the rooms that each may import, without what follows from others."""
    graph = {name: targets - GROUND - FACES for name, targets in ROOMS.items() if name not in GROUND | FACES}
    return {name: frozenset(t for t in targets if not any(t in graph[other] for other in targets)) for name, targets in graph.items()}


def levels(graph: dict[str, frozenset[str]]) -> list[list[str]]:
    """The rooms in rows, the lowest first; a room stands above all that it imports."""
    level: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in level:
            level[name] = 1 + max((of(target) for target in graph[name]), default=-1)
        return level[name]

    rows: list[list[str]] = [[] for _ in range(1 + max(of(name) for name in sorted(graph)))]
    for name in sorted(graph):
        rows[of(name)].append(name)
    return rows


def routed(graph: dict[str, frozenset[str]], rows: list[list[str]]) -> tuple[list[list[str]], list[list[str]]]:
    """The rows with a place for each arrow that passes through, put in an order with few crossings; and the way of each arrow."""
    at = {name: n for n, row in enumerate(rows) for name in row}
    rows = [list(row) for row in rows]
    ways = []
    for name, target in sorted((name, target) for name, targets in graph.items() for target in targets):
        passed = [f"{name}>{target}@{n}" for n in range(at[name] - 1, at[target], -1)]
        for place in passed:
            rows[int(place.partition("@")[2])].append(place)
        ways.append([name, *passed, target])
    beside: dict[str, list[str]] = {place: [] for row in rows for place in row}
    for way in ways:
        for upper, lower in pairwise(way):
            beside[upper].append(lower)
            beside[lower].append(upper)
    for sweep in range(SWEEPS):
        order = range(1, len(rows)) if sweep % 2 == 0 else range(len(rows) - 2, -1, -1)
        for n in order:
            x = {place: (k + 0.5) / len(row) for row in rows for k, place in enumerate(row)}
            rows[n].sort(key=lambda place: (sum(x[one] for one in beside[place]) / max(1, len(beside[place])), place))
    return rows, ways


def picture() -> str:
    """The rooms as SVG: faces on top, ground below, an arrow from each room to those that it imports."""
    graph = placed()
    rows, ways = routed(graph, levels(graph))
    width = MARGIN * 2 + max(len(row) for row in rows) * (BOX_W + GAP_X) - GAP_X
    inner = width - 2 * MARGIN
    ground, faces = (
        textwrap.wrap(", ".join(sorted(name or "__init__" for name in names)), int(inner / LETTER_W)) for names in (GROUND, FACES)
    )
    below = MARGIN + _height(faces) + GAP_Y + len(rows) * (BOX_H + GAP_Y)
    height = below + _height(ground) + MARGIN
    centre: dict[str, tuple[float, float]] = {}
    for n, row in enumerate(rows):
        left = (width - len(row) * (BOX_W + GAP_X) + GAP_X) / 2
        y = below - (n + 1) * (BOX_H + GAP_Y) + BOX_H / 2
        centre.update({place: (left + k * (BOX_W + GAP_X) + BOX_W / 2, y) for k, place in enumerate(row)})
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="15"><title>The rooms of pointline</title>\n'
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>'
    )
    parts = [
        head,
        *(_arrow([centre[place] for place in way]) for way in ways),
        *(_box(x - BOX_W / 2, y - BOX_H / 2, BOX_W, ROOM, [place]) for place, (x, y) in centre.items() if "@" not in place),
        _box(MARGIN, MARGIN, inner, FACE, faces),
        _box(MARGIN, below, inner, GROUND_COLOUR, ground),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(left: float, top: float, width: float, colour: str, lines: list[str]) -> str:
    middle, first = left + width / 2, top + BOX_H / 2 + 5
    texts = (
        f'<text x="{middle:g}" y="{first + n * LINE_H:g}" text-anchor="middle" fill="#16202c">{line}</text>' for n, line in enumerate(lines)
    )
    return f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{_height(lines)}" rx="6" fill="{colour}"/>{"".join(texts)}'


def _height(lines: list[str]) -> int:
    return BOX_H + (len(lines) - 1) * LINE_H


def _arrow(points: list[tuple[float, float]]) -> str:
    (first_x, first_y), (last_x, last_y) = points[0], points[-1]
    shown = [(first_x, first_y + BOX_H / 2), *points[1:-1], (last_x, last_y - BOX_H / 2)]
    path = f"M{shown[0][0]:g} {shown[0][1]:g}"
    for (x, y), (next_x, next_y) in pairwise(shown):
        half = (next_y - y) / 2
        path += f"C{x:g} {y + half:g} {next_x:g} {next_y - half:g} {next_x:g} {next_y:g}"
    return f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="1.5" marker-end="url(#tip)"/>'


def table() -> str:
    """A row for each room, the uppermost first: what it says of itself, and the rooms that it may import."""
    graph = placed()
    lines = ["| Room | What it does | May import, beside the ground |", "|---|---|---|"]
    for row in reversed(levels(graph)):
        for name in row:
            own = ", ".join(f"`{target}`" for target in sorted(ROOMS[name] - GROUND)) or "nothing"
            lines.append(f"| `{name}` | {_said_of(name)} | {own} |")
    lines += [f"| `{name}` | {_said_of(name)} | ground |" for name in sorted(GROUND)]
    return "\n".join(lines)


def _said_of(name: str) -> str:
    """The first line of a room's docstring."""
    module = PACKAGE / name / "__init__.py"
    tree = ast.parse((module if module.is_file() else PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0].rstrip(".").replace("``", "`").replace("|", r"\|")


def updated(page: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

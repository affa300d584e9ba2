"""A reader of Prometheus' text format 0.0.4, written after its description, and stricter: no optional spaces, gauges only."""

from __future__ import annotations

import re
from typing import NamedTuple

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
TEXT = r'"(?:[^"\\\n]|\\\\|\\"|\\n)*"'
SAMPLE = re.compile(rf"(?P<name>{NAME})(?:\{{(?P<labels>{LABEL}={TEXT}(?:,{LABEL}={TEXT})*)?\}})? (?P<value>\S+)(?: (?P<ms>-?\d+))?")
HELP = re.compile(rf"# HELP (?P<name>{NAME}) (?P<help>(?:[^\\\n]|\\\\|\\n)*)")
TYPE = re.compile(rf"# TYPE (?P<name>{NAME}) gauge")
ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class Sample(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float
    ms: int | None


def samples_of(text: str) -> list[Sample]:
    """The samples; each metric has its HELP and TYPE once, in front of its samples, which stand together and differ in their labels."""
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    found: list[Sample] = []
    helped: list[str] = []
    typed: list[str] = []
    for line in text[:-1].split("\n"):
        if match := HELP.fullmatch(line):
            assert match["name"] not in helped
            helped.append(match["name"])
        elif match := TYPE.fullmatch(line):
            assert match["name"] == helped[-1]
            assert match["name"] not in typed
            typed.append(match["name"])
        else:
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            assert match["name"] == typed[-1]
            labels = {name: unescaped(quoted[1:-1]) for name, quoted in re.findall(rf"({LABEL})=({TEXT})", match["labels"] or "")}
            found.append(Sample(match["name"], labels, number(match["value"]), None if match["ms"] is None else int(match["ms"])))
    assert helped == typed
    keys = [(one.name, *sorted(one.labels.items())) for one in found]
    assert len(keys) == len(set(keys))
    return found


def unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda match: ESCAPES[match[0]], text)


def number(text: str) -> float:
    assert re.fullmatch(r"NaN|[+-]Inf|-?\d+(\.\d+)?(e[+-]?\d+)?", text), text
    return float(text)

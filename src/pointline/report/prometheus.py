"""Figures in the text format that Prometheus reads, for the textfile collector of its node exporter.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pointline.errors import ConfigError
from pointline.lake.durable import remove_left_behind, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class Gauge:
    """A figure with its samples.

    Attributes:
        name: of the metric.
        help: what it is, in words.
        samples: labels and value of each.
    """

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]

    def __post_init__(self) -> None:
        names = {label for labels, _ in self.samples for label in labels}
        if not _METRIC.fullmatch(self.name) or not all(map(_LABEL.fullmatch, names)):
            raise ConfigError("Prometheus has no such name", value=[self.name, *sorted(names)], expected="letters, digits and underscores")


def exposition_text(gauges: Sequence[Gauge], *, at_us: int | None = None) -> str:
    """Gauges as text, a HELP and a TYPE line before the samples of each.

    Args:
        gauges: with distinct names; one without samples keeps its HELP and TYPE lines.
        at_us: the time of all samples, microseconds UTC; None leaves it to the reader. The textfile collector refuses times.

    Raises:
        ConfigError: a name that Prometheus does not take.

    Examples:
        >>> print(exposition_text([Gauge("bars", "Bars.", [({"pair": "a"}, 3.0)])]), end="")
        # HELP bars Bars.
        # TYPE bars gauge
        bars{pair="a"} 3.0
    """
    time = "" if at_us is None else f" {at_us // 1_000}"
    lines = []
    for gauge in gauges:
        lines += [f"# HELP {gauge.name} {_escaped(gauge.help)}", f"# TYPE {gauge.name} gauge"]
        for labels, value in gauge.samples:
            told = ",".join(f'{name}="{_escaped(text, quotes=True)}"' for name, text in labels.items())
            lines.append(f"{gauge.name}{{{told}}} {_number(value)}{time}")
    return "".join(f"{line}\n" for line in lines)


def check_text_file(path: str | Path) -> Path:
    """Makes sure, before the work, that a text file for Prometheus can be written there.

    Raises:
        ConfigError: the name does not end in ``.prom``, the folder does not exist, or the path is a folder.
    """
    file = Path(path)
    if file.suffix != ".prom" or not file.absolute().parent.is_dir() or file.is_dir():
        raise ConfigError(
            "the Prometheus file cannot be written there", value=str(path), expected="a file ending in .prom in an existing folder"
        )
    return file


def write_text_file(text: str, path: str | Path) -> None:
    """Writes a text file for Prometheus whole or not at all; its reader sees the old one or the new one.

    Raises:
        ConfigError: as `check_text_file`.
        LakeError: the disk is full.
    """
    file = check_text_file(path).absolute()
    remove_left_behind(file.parent, of=file.name)
    write_atomically(file, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _escaped(text: str, *, quotes: bool = False) -> str:
    plain = text.replace("\\", "\\\\").replace("\n", "\\n")
    return plain.replace('"', '\\"') if quotes else plain


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return repr(float(value)) if math.isfinite(value) else "+Inf" if value > 0 else "-Inf"

"""The text of ``api.ohlcv`` for DuckDB: the same candles from the same sources as `pointline.sql.ohlcv` makes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from pointline.clock import DAY_US, SECOND_US
from pointline.sql.ohlcv import LONGEST_MINUTES

if TYPE_CHECKING:
    from pointline.sql.ohlcv import CandleSource


def ohlcv_macro(sources: list[CandleSource]) -> str:
    """The SELECT of the function over the given sources."""
    parts = [_trades(source) if source.kind == "trades" else _candles(source) for source in sources]
    return _part("several", parts="\nUNION ALL\n".join(parts))


def _candles(source: CandleSource) -> str:
    others = "\n" + _part("days of others", seconds=source.seconds, day_us=DAY_US) if source.overlapping else ""
    names = {"kind": source.kind, "seconds": source.seconds, "length_us": source.seconds * SECOND_US, "others": others}
    return _part("candles", bucket=_bucket("start_us"), **names)


def _trades(source: CandleSource) -> str:
    others = "\n" + _part("trades without candles", day_us=DAY_US) if source.overlapping else ""
    return _part("trades", bucket=_bucket("minute.minute_us"), others=others)


def _bucket(us: str) -> str:
    return _part("bucket", us=us, shift=_part("shift"))


def _part(name: str, **values: object) -> str:
    return Template(_parts()[name]).substitute(minutes=_minutes(), **values)


@cache
def _minutes() -> str:
    return Template(_parts()["minutes"]).substitute(longest=LONGEST_MINUTES)


@cache
def _parts() -> dict[str, str]:
    """The parts of ohlcv.sql without their comments, by name."""
    text = (Path(__file__).parent / "ohlcv.sql").read_text(encoding="utf-8")
    _, *pieces = re.split(r"^-- \[(.+)\]\n", text, flags=re.MULTILINE)
    bodies = [re.sub(r"^--.*\n", "", body, flags=re.MULTILINE).strip() for body in pieces[1::2]]
    return dict(zip(pieces[::2], bodies, strict=True))

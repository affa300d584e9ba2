"""The text of ``api.ohlcv``: candles of any number of minutes from the candles or trades that the lake holds of a market's day."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from string import Template

from pointline import clock

PARAMETER = "candle_duration_in_minutes"
LONGEST_MINUTES = 5_256_000  # ten years: beyond it the end of a candle has no place in DateTime
WIDE = "Nullable(Decimal(76, 20))"
# A length that is no candle's becomes 0, which the engine refuses. It reads a number that is too large for its type without an error: as
# UInt32 the lengths 2^32 + 1 and 1 would be the same.
MINUTES = f"toInt64(if({{{PARAMETER}:Int256}} BETWEEN 1 AND {LONGEST_MINUTES}, {{{PARAMETER}:Int256}}, 0))"
# What an integer amount of so many decimals is divided by, and times what it is a wide decimal.
POWERS = "[" + ", ".join(f"toInt64({10**n})" for n in range(13)) + "]"
STEPS = "[" + ", ".join(f"toDecimal256('{Decimal(1).scaleb(-n):f}', 20)" for n in range(13)) + "]"

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DAY_S = clock.DAY_US // clock.SECOND_US
# A candle in which nothing was traded has no price, though exchanges print the last one in it.
_TRADED = "ifNull(candle.volume != 0, true) AND ifNull(candle.trade_count != 0, true)"
_INTERVAL = re.compile(r"candles_(\d+)([smhd])")
# Candles begin at whole multiples of their length since 1970-01-01 00:00 UTC, a Thursday; those of whole weeks on Mondays, four days
# later, as exchanges publish them.
_SHIFT_S = f"if({MINUTES} % 10080 = 0, 345600, 0)"


@dataclass(frozen=True)
class CandleSource:
    """A table from which candles can be made.

    Attributes:
        kind: the lake's table.
        seconds: length of its candles; 0 for trades.
        overlapping: another table holds some of its markets too.
    """

    kind: str
    seconds: int
    overlapping: bool = False


def seconds_of(kind: str) -> int | None:
    """Length of a table's candles; None for what candles are not made from: other tables, and candles that no day is a multiple of."""
    found = _INTERVAL.fullmatch(kind)
    if found is None:
        return None
    seconds = int(found[1]) * _UNITS_S[found[2]]
    return seconds if seconds and _DAY_S % seconds == 0 else None


def in_base_units(amount: str) -> str:
    """An amount as the exchange counts it in base units; null where the size of its contract is not known."""
    return f"CAST(CAST({amount} AS Nullable(Decimal(76, 20))) * nullIf(contract_size, 0) AS {WIDE})"


def ohlcv_view(sources: list[CandleSource], *, sized: bool = False) -> str:
    """The view's SELECT over the given sources; `sized` where their tables have a ``contract_size``."""
    if len(sources) == 1 and sources[0].kind != "trades":
        return _candles("one table", sources[0], sized)
    parts = [_trades(source, sized) if source.kind == "trades" else _candles("candles", source, sized) for source in sources]
    return _part("several", parts="\nUNION ALL\n".join(parts))


def _candles(part: str, source: CandleSource, sized: bool) -> str:  # noqa: FBT001
    length_us = source.seconds * clock.SECOND_US
    where = f"{MINUTES} * 60 % {source.seconds} = 0 AND start_us % {length_us} = 0"
    if source.overlapping:
        others = _part("days of others", days=_part("days"), seconds=source.seconds)
        where += f" AND (exchange, market, intDiv(start_us, {clock.DAY_US})) NOT IN ({others})"
    names = {"kind": source.kind, "seconds": source.seconds, "length_us": length_us, "where": where, "traded": _TRADED}
    return _part(part, **names, bucket=_bucket("start_us"), volume=in_base_units("candle.volume") if sized else "candle.volume")


def _trades(source: CandleSource, sized: bool) -> str:  # noqa: FBT001
    where = _part("trades without candles", day_us=clock.DAY_US, days=_part("days")) if source.overlapping else "1"
    traded = "CAST(sum(toDecimal128(qty_int, 0)) AS Decimal(38, 12)) / qty_scale"
    return _part(
        "trades",
        where=where,
        bucket=_bucket("minute_us"),
        powers=POWERS,
        traded=in_base_units(traded) if sized else traded,
        sizes=", contract_size" if sized else "",
    )


def _bucket(us: str) -> str:
    return _part("bucket", us=us, shift=_SHIFT_S)


def _part(name: str, **values: object) -> str:
    return Template(_parts()[name]).substitute(minutes=MINUTES, wide=WIDE, **values)


@cache
def _parts() -> dict[str, str]:
    """The parts of ohlcv.sql without their comments, by name."""
    text = (Path(__file__).parent / "ohlcv.sql").read_text(encoding="utf-8")
    _, *pieces = re.split(r"^-- \[(.+)\]\n", text, flags=re.MULTILINE)
    bodies = [re.sub(r"^--.*\n", "", body, flags=re.MULTILINE).strip() for body in pieces[1::2]]
    return dict(zip(pieces[::2], bodies, strict=True))

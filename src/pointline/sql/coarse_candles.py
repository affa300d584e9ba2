"""Days on which a market has only candles that are longer than a query's; `api.ohlcv` leaves these days out.

`CoarseCandles.of` is made with the catalogue and stored beside it, so that a query's notes need no further read of the lake::

    coarse = CoarseCandles.load(catalogue.folder)
    coarse.sentences(1, ["binance", "ETH-USDT"])
    # ["binance ETH-USDT has only candles of 60 minutes from 2024-12-01 to 2024-12-31; candles of 1 minute leave these days out"]
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

from pointline.clock import DAY_US, date_text
from pointline.sql.ohlcv import seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pointline.lake.catalog import Held
    from pointline.sql.links import SqlNames

FILE = "coarse.json"
MOST_SENTENCES = 3

Runs: TypeAlias = "tuple[tuple[int, int], ...]"  # first and last day since 1970 of stretches, in order

_MINUTE_S = 60
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T]|$)")


@dataclass(frozen=True)
class _CoarseMarket:
    """A market with candles of more than a minute: the days of each of its sources by the seconds of their candles, of trades 0."""

    exchange: str
    market: str
    days: dict[int, Runs]


@dataclass(frozen=True)
class CoarseCandles:
    """The days of a lake's candles.

    Attributes:
        exchanges, names: all exchanges and markets of the lake, so that the names in a statement are recognised.
        markets: those that have candles of more than a minute.
    """

    exchanges: tuple[str, ...]
    names: tuple[str, ...]
    markets: tuple[_CoarseMarket, ...]

    @classmethod
    def of(cls, holdings: Sequence[Held], names: SqlNames) -> CoarseCandles:
        """From the result of `pointline.lake.catalog.held`."""
        from pointline.sql.links import exchange_name  # with Polars, which those who only load need not have

        sources: dict[tuple[str, str], dict[int, set[int]]] = {}
        for one in holdings:
            seconds = 0 if one.row["kind"] == "trades" else seconds_of(one.row["kind"])
            if seconds is not None:
                exchange, symbol = one.row["exchange"], one.row["symbol"]
                key = (exchange_name(exchange), names.market(exchange, symbol, one.row["last_date"]))
                sources.setdefault(key, {}).setdefault(seconds, set()).update(_days(one))
        markets = [
            _CoarseMarket(*key, {seconds: _runs(days) for seconds, days in sorted(found.items())})
            for key, found in sorted(sources.items())
            if max(found) > _MINUTE_S
        ]
        exchanges, all_names = (tuple(sorted({key[place] for key in sources})) for place in (0, 1))
        return cls(exchanges, all_names, tuple(markets))

    def save(self, folder: Path) -> None:
        """Writes it into the folder of a catalogue."""
        (folder / FILE).write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> CoarseCandles:
        """What `save` wrote into a folder; empty where there is no such file."""
        try:
            found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls((), (), ())
        markets = (
            _CoarseMarket(one["exchange"], one["market"], {int(s): tuple((a, b) for a, b in runs) for s, runs in one["days"].items()})
            for one in found["markets"]
        )
        return cls(tuple(found["exchanges"]), tuple(found["names"]), tuple(markets))

    def sentences(self, minutes: int, literals: Iterable[str] = ()) -> list[str]:
        """What candles of a length leave out, in at most 3 sentences and one that counts the rest.

        Args:
            minutes: the length that `api.ohlcv` is asked for.
            literals: the texts in the statement. Exchanges, markets and patterns of markets (``BTC-%``) among them say which markets it is
                about; without any it is about all. Two dates or more say that it is about the days between them.
        """
        given = list(literals)
        exchanges, names = set(self.exchanges).intersection(given), _matching(self.names, given)
        window = _window(given)
        found = []
        for one in self.markets:
            if (not exchanges or one.exchange in exchanges) and (names is None or one.market in names):
                found += [_sentence(one, minutes, seconds, runs) for seconds, runs in _left_out(one, minutes, window)]
        if len(found) <= MOST_SENTENCES:
            return found
        more = len(found) - MOST_SENTENCES
        return [*found[:MOST_SENTENCES], f"and {more} more such case{'' if more == 1 else 's'}"]


def _matching(names: Iterable[str], given: list[str]) -> set[str] | None:
    """The markets that the texts name, outright or by a pattern of LIKE; None where they name none."""
    patterns = [_pattern(text) for text in given if text.strip("%_ ")]
    found = {name for name in names if any(pattern.fullmatch(name) for pattern in patterns)}
    return found or None


def _pattern(text: str) -> re.Pattern[str]:
    signs = {"%": ".*", "_": "."}
    return re.compile("".join(signs.get(sign, re.escape(sign)) for sign in text), re.DOTALL)


def _window(given: list[str]) -> tuple[int, int] | None:
    dates = []
    for text in given:
        found = _DATE.match(text)
        if found is not None:
            try:
                dates.append((dt.date.fromisoformat(found[1]) - dt.date(1970, 1, 1)).days)
            except ValueError:
                continue
    return (min(dates), max(dates)) if len(dates) > 1 else None


def _left_out(one: _CoarseMarket, minutes: int, window: tuple[int, int] | None) -> list[tuple[int, Runs]]:
    """The days that only sources have that do not fit the length, by the finest of those."""
    served: set[int] = set()
    found = []
    for seconds, runs in sorted(one.days.items(), key=lambda item: (bool(item[0]) and minutes * _MINUTE_S % item[0] != 0, item[0])):
        own = {day for first, last in runs for day in range(first, last + 1)}
        fits = not seconds or minutes * _MINUTE_S % seconds == 0
        left = own - served
        if window is not None:
            left = {day for day in left if window[0] <= day <= window[1]}
        if not fits and left:
            found.append((seconds, _runs(left)))
        served |= own
    return found


def _sentence(one: _CoarseMarket, minutes: int, seconds: int, runs: Runs) -> str:
    days, (first, last) = sum(b - a + 1 for a, b in runs), (date_text(day * DAY_US) for day in (runs[0][0], runs[-1][1]))
    if days == 1:
        when = f"on {first}"
    elif len(runs) == 1:
        when = f"from {first} to {last}"
    else:
        when = f"on {days} days from {first} to {last}"
    those = "this day" if days == 1 else "these days"
    held, asked = (f"candles of {count:g} minute{'' if count == 1 else 's'}" for count in (seconds / _MINUTE_S, minutes))
    return f"{one.exchange} {one.market} has only {held} {when}; {asked} leave {those} out"


def _days(one: Held) -> set[int]:
    """Days since 1970 on which a table has something."""
    if one.days:
        return {us // DAY_US for us in one.days}
    covered = one.covered
    days = range(covered.from_us // DAY_US, covered.last_us // DAY_US + 1)
    gone: set[int] = set()
    for from_us, until_us in covered.missing:
        gone.update(range(-(-from_us // DAY_US), until_us // DAY_US))
    return set(days) - gone


def _runs(days: Iterable[int]) -> Runs:
    found: list[list[int]] = []
    for day in sorted(days):
        if found and day == found[-1][1] + 1:
            found[-1][1] = day
        else:
            found.append([day, day])
    return tuple((first, last) for first, last in found)

"""How an exchange writes the symbols of its contracts: patterns that read a symbol, and write one."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_QUARTERS = {"H": 3, "M": 6, "U": 9, "Z": 12}
_DATES = {
    "yymmdd": r"[0-9]{6}",
    "yyyymmdd": r"[0-9]{8}",
    "dmmmyy": rf"(?:[1-9]|[123][0-9])(?:{'|'.join(_MONTHS)})[0-9]{{2}}",
    "qyy": rf"[{''.join(_QUARTERS)}][0-9]{{2}}",
}
_PART = r"[^-_/:.]+"
_FRIDAY = 4
_PLACE = re.compile(r"\{(\w+)\}")


class SymbolParts(NamedTuple):
    """What a symbol says by one form: base and quote as the exchange writes them, and the day of delivery if it is dated."""

    base: str
    quote: str
    day: dt.date | None


@dataclass(frozen=True, kw_only=True)
class SymbolForm:
    """One way in which an exchange writes symbols.

    Attributes:
        pattern: the symbol with places for its parts: ``{base}``, ``{quote}`` and for contracts that are delivered one of ``{yymmdd}``,
            ``{yyyymmdd}``, ``{dmmmyy}`` (``28MAR25``, ``3JAN25``) and ``{qyy}`` (``H25``, ``M25``, ``U25``, ``Z25``: the last Friday of
            the quarter).
        contract_type: ``"linear"`` or ``"inverse"``; none for spot.
        quote_assets: the quotes that may stand for ``{quote}``, any if there are none; without that place the one quote of all.
        settle_asset: of contracts; if not given, the quote of a linear and the base of an inverse one.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    pattern: str
    contract_type: Literal["linear", "inverse"] | None = None
    quote_assets: tuple[str, ...] = ()
    settle_asset: str | None = None

    def __post_init__(self) -> None:
        places = _PLACE.findall(self.pattern)
        dates = [place for place in places if place in _DATES]
        message = None
        if "base" not in places or len(set(places)) != len(places) or set(places) - {"base", "quote", *_DATES} or len(dates) > 1:
            dates_text = ", ".join(_DATES)
            message = f"a pattern has {{base}}, at most one {{quote}} and at most one date ({dates_text}), not {self.pattern!r}"
        elif "quote" not in places and len(self.quote_assets) != 1:
            message = f"the pattern {self.pattern!r} has no {{quote}}, so it needs one quote asset"
        elif self.contract_type is None and (dates or self.settle_asset):
            message = "a spot market has no date and no settle_asset"
        if message is not None:
            raise ValueError(message)

    @cached_property
    def date_style(self) -> str | None:
        """The date's place, None where the form has none."""
        return next((place for place in _PLACE.findall(self.pattern) if place in _DATES), None)

    @cached_property
    def text(self) -> str:
        """The form as errors show it, e.g. ``{base}{quote}-{dmmmyy} (USDT)``."""
        return f"{self.pattern} ({', '.join(self.quote_assets)})" if self.quote_assets else self.pattern

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        quotes = "|".join(re.escape(one) for one in sorted(self.quote_assets, key=len, reverse=True)) or _PART
        inside = {"base": f"{_PART}?", "quote": quotes, **_DATES}
        pieces = _PLACE.split(self.pattern)
        return re.compile("".join(f"(?P<{one}>{inside[one]})" if number % 2 else re.escape(one) for number, one in enumerate(pieces)))

    def read(self, symbol: str) -> SymbolParts | None:
        """The parts of a symbol; None where it is not of this form.

        Examples:
            >>> SymbolForm(pattern="{base}USD{qyy}", contract_type="inverse", quote_assets=("USD",)).read("BTCUSDH25")
            SymbolParts(base='BTC', quote='USD', day=datetime.date(2025, 3, 28))
        """
        found = self._regex.fullmatch(symbol)
        if found is None:
            return None
        said = found.groupdict()
        day = None
        if self.date_style is not None:
            try:
                day = _day(self.date_style, said[self.date_style])
            except ValueError:
                return None
        return SymbolParts(said["base"], said.get("quote", "") or self.quote_assets[0], day)

    def written(self, base: str, quote: str, day: dt.date | None) -> str | None:
        """The symbol of base, quote and day of delivery; None where this form cannot say them.

        Examples:
            >>> form = SymbolForm(pattern="{base}-{dmmmyy}", contract_type="inverse", quote_assets=("USD",))
            >>> form.written("BTC", "USD", dt.date(2025, 1, 3))
            'BTC-3JAN25'
        """
        if (self.quote_assets and quote not in self.quote_assets) or (day is None) != (self.date_style is None):
            return None
        said = {"base": base, "quote": quote}
        if day is not None and self.date_style is not None:
            said[self.date_style] = _written_day(self.date_style, day)
        symbol = _PLACE.sub(lambda place: said[place.group(1)], self.pattern)
        return symbol if self.read(symbol) == (base, quote, day) else None


def _day(style: str, text: str) -> dt.date:
    """The date of a text of that style.

    Raises:
        ValueError: there is no such day.
    """
    if style == "yymmdd":
        return dt.date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))
    if style == "yyyymmdd":
        return dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    if style == "dmmmyy":
        return dt.date(2000 + int(text[-2:]), _MONTHS.index(text[-5:-2]) + 1, int(text[:-5]))
    return _last_friday(2000 + int(text[1:]), _QUARTERS[text[0]])


def _written_day(style: str, day: dt.date) -> str:
    if style == "yymmdd":
        return f"{day:%y%m%d}"
    if style == "yyyymmdd":
        return f"{day:%Y%m%d}"
    if style == "dmmmyy":
        return f"{day.day}{_MONTHS[day.month - 1]}{day:%y}"
    letter = next((one for one, month in _QUARTERS.items() if month == day.month), "-")
    return f"{letter}{day:%y}"


def _last_friday(year: int, month: int) -> dt.date:
    end = dt.date(year + month // 12, month % 12 + 1, 1) - dt.timedelta(days=1)
    return end - dt.timedelta(days=(end.weekday() - _FRIDAY) % 7)

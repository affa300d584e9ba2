"""Writes the tables of docs/venue-rules.md from the venue files: ``python docs/make_venue_rules.py`` after one was changed."""  # noqa: INP001

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointline.venues.files import package_venues

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointline.venues.contracts import ContractSize
    from pointline.venues.dated import Unsettled
    from pointline.venues.markets import Market
    from pointline.venues.payments import Fee, Funding

PAGE = Path(__file__).with_name("venue-rules.md")
_MARK = r"<!-- begin: {} -->"
END = "<!-- end -->"
_JOINED = {"joined": "`{base}{quote}`", "dashed": "`{base}-{quote}`", "listed": "those that the file lists"}


def tables() -> dict[str, str]:
    """The Markdown tables by their names on the page."""
    files = package_venues().files
    funding = [(name, one) for venue in files for one in venue.funding for name in one.exchanges]
    return {
        "exchanges": _table(("Exchange", "Other names", "Symbols", "Source"), (_exchange(one) for venue in files for one in venue.market)),
        "funding": _table(
            ("Exchange", "From", "Until", "Formula", "Interest", "Average", "Interval", "Paid", "Cap", "Source"),
            (_funding(name, one) for name, one in sorted(funding, key=lambda item: (item[0], item[1].valid_from_us))),
        ),
        "sizes": _table(
            ("Exchanges", "Contracts", "One contract", "From", "Until", "As of", "Source"),
            (_size(one) for venue in files for one in venue.contract_size),
        ),
        "delivery": _table(
            ("Exchanges", "Contracts", "Time", "Settled at", "From", "Until", "Source"),
            (
                (", ".join(one.exchanges), one.contract_type or "all", one.text, one.settlement or "not known", *_dates(one), one.source)
                for venue in files
                for one in venue.delivery
            ),
        ),
        "fees": _table(
            ("Exchanges", "Tier", "Taker", "Maker", "As of", "From", "Until", "Source"),
            (_fee(one) for venue in files for one in venue.fee),
        ),
        "unsettled": _table(
            ("Exchanges", "Rule", "From", "Until", "Why", "Source"), (_unsettled(one) for venue in files for one in venue.unsettled)
        ),
    }


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def _dates(rule: Any) -> tuple[str, str]:  # noqa: ANN401 - any dated rule
    """First and last moment of a rule, without the time where it is midnight; nothing where it has no dates."""
    first, last = ("" if one is None else f"{one:%Y-%m-%d %H:%M}".removesuffix(" 00:00") for one in (rule.valid_from, rule.valid_until))
    return first, last


def _fee(rule: Fee) -> tuple[str, ...]:
    taker, maker = ("not known" if one is None else f"{one:g} bps" for one in (rule.taker_bps, rule.maker_bps))
    return ", ".join(rule.exchanges), rule.tier, taker, maker, str(rule.as_of), *_dates(rule), rule.source


def _unsettled(one: Unsettled) -> tuple[str, ...]:
    return ", ".join(f"`{name}`" for name in one.exchanges), one.rule, *_dates(one), one.reason, one.source


def _exchange(market: Market) -> tuple[str, ...]:
    names = dict.fromkeys((*market.aliases, market.sql_name))
    forms = ", ".join(f"`{form.pattern}`" for form in market.form) or _JOINED[market.symbols]
    if market.perpetual_suffix:
        forms += f", then `{market.perpetual_suffix}`"
    if market.symbols == "joined" and market.asset_type != "spot":
        forms += " or `_{yymmdd}`"
    return f"`{market.exchange}`", ", ".join(f"`{name}`" for name in names if name != market.exchange), forms, market.source


def _funding(exchange: str, rule: Funding) -> tuple[str, ...]:
    band = f"{rule.clamp * 1e4:g} bp"
    formula = {
        "premium_clamp": f"P + clamp(I - P, ±{band})",
        "deribit": f"max({band}, P) + min(-{band}, P)",
        "clamp_mean": "P",
    }[rule.kind]
    period = "per interval" if rule.per_interval else "per 8 h"
    interest = f"{rule.interest_8h * 1e4:g} bp per 8 h" if rule.interest_8h else "none"
    if rule.interest_free_bases:
        interest += f", none for {', '.join(rule.interest_free_bases)}"
    average = f"of the {rule.averages}, {rule.weights} weights"
    if rule.rolling:
        average += ", rolling"
    caps = [*([f"{rule.cap:.4g}"] if rule.cap is not None else []), *(f"{base} {cap:.4g}" for base, cap in rule.caps.items())]
    interval = "continuous" if rule.continuous else f"{rule.interval_hours:g} h"
    paid = {0: "at each moment" if rule.continuous else "at its end", 1: "in the next"}[rule.periods_later]
    limits = ", ".join(caps) or "not known"
    names = f"`{exchange}` {', '.join(rule.pairs)}".rstrip()
    return names, *_dates(rule), f"{formula}, {period}", interest, average, interval, paid, limits, rule.source


def _size(sizes: ContractSize) -> tuple[str, ...]:
    unit = "quote" if sizes.contract_type == "inverse" else "base"
    named = [f"{name} {size:g}" for name, size in (*sizes.by_pair.items(), *sizes.by_base_asset.items())]
    rest = [] if sizes.default is None else [f"{'others ' if named else ''}{sizes.default:g}"]
    text, as_of = f"{', '.join((*named, *rest))} ({unit} units)", "" if sizes.as_of is None else str(sizes.as_of)
    return ", ".join(sizes.exchanges), sizes.contract_type, text, *_dates(sizes), as_of, sizes.source


def updated(page: str) -> str:
    """The page with its tables made anew."""
    for name, table in tables().items():
        mark = _MARK.format(name)
        page = re.sub(f"{re.escape(mark)}.*?{re.escape(END)}", lambda _, made=f"{mark}\n\n{table}\n\n{END}": made, page, flags=re.DOTALL)
    return page


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

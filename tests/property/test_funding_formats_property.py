"""Every layout of settled funding: whatever was paid, the real reader says it again as a plain loop does, or refuses the file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.layouts import FORMS as TRADE_FORMS
from tests.property.layouts import Layout, Style, iso, read, styles, text_of
from tests.property.test_formats_property import FEW, MOMENTS, SOME

from pointline.ingest.checks import check_rows
from pointline.sources.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Row: TypeAlias = "tuple[int, int, int, float, float | None]"

MINUTE_US = 60_000_000


@dataclass(frozen=True)
class Payment:
    """When it was stamped, in nanoseconds since 1970, and the rate."""

    ns: int
    rate: Decimal


@dataclass(frozen=True)
class PaymentForm(Layout):
    """A layout of payments.

    Attributes:
        line: one payment.
        hours: since the one before, where the file says it or the field means it.
    """

    line: Callable[[Payment, Style], str] = field(kw_only=True)
    hours: float | None = field(default=None, kw_only=True)

    def row(self, p: Payment, unit: str) -> Row:
        """Receipt and event time, the whole minute that is nearest, rate and hours."""
        us = self.told_us(p.ns, unit)
        minute, rest = divmod(us, MINUTE_US)
        return us, us, (minute + (rest * 2 >= MINUTE_US)) * MINUTE_US, float(p.rate), self.hours


def record(time: str, rate: str, *, text: bool = False, **more: object) -> Callable[[Payment, Style], str]:
    """A JSON object; its numbers may be text."""

    def line(p: Payment, style: Style) -> str:
        stamp = f'"{iso(p.ns)}"' if style.unit == "text" else style.stamp(p.ns)
        amount = style.amount(p.rate)
        told = {time: f'"{stamp}"', rate: f'"{amount}"'} if text else {time: stamp, rate: amount}
        return "{" + ",".join(f'"{key}":{value}' for key, value in {**told, **{k: json.dumps(v) for k, v in more.items()}}.items()) + "}"

    return line


def rest(exchange: str, symbol: str, units: tuple[str, ...], line: Callable[[Payment, Style], str], **more: Any) -> PaymentForm:  # noqa: ANN401
    return PaymentForm("rest_funding", f"{exchange}-{symbol}-funding-2024-05", units, line=line, json=True, **more)


def vision(p: Payment, style: Style) -> str:
    return f"{style.stamp(p.ns)},8,{style.amount(p.rate)}"


def okx(p: Payment, style: Style) -> str:
    return f"BTC-USDT-SWAP,{style.amount(p.rate)},{style.stamp(p.ns)}"


def gate(p: Payment, style: Style) -> str:
    return f"{style.decimal(p.ns)},{style.amount(p.rate)}"


FORMS = {
    "vision": PaymentForm(
        "binance_vision",
        "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-05",
        line=vision,
        header="calc_time,funding_interval_hours,last_funding_rate",
        bare=True,
        hours=8.0,
    ),
    "okx": PaymentForm("okx", "BTC-USDT-SWAP-fundingrates-2024-05", line=okx, header="instrument_name,funding_rate,funding_time"),
    "gate": PaymentForm("gate", "futures_usdt/funding_applies/202405/BTC_USDT-202405", ("s", "ms", "us"), line=gate, decimals=True),
    "REST of bybit": rest("bybit", "BTCUSDT", ("ms",), record("fundingRateTimestamp", "fundingRate", text=True, symbol="BTCUSDT")),
    "REST of deribit": rest("deribit", "BTC-PERPETUAL", ("ms",), record("timestamp", "interest_1h", interest_8h=0.5), hours=1.0),
    "REST of gate": rest("gate-futures", "BTC_USDT", ("s",), record("t", "r")),
    "REST of hyperliquid": rest("hyperliquid", "BTC", ("ms",), record("time", "fundingRate", coin="BTC", premium="0.5")),
    "REST of kraken": rest("kraken-futures", "PF_XBTUSD", ("text",), record("timestamp", "relativeFundingRate", fundingRate=1.25)),
    "REST of kucoin": rest("kucoin-futures", "XBTUSDTM", ("ms",), record("timepoint", "fundingRate", symbol="XBTUSDTM")),
}
"""A payment has no side and no id: its minute tells it apart. Only vision says the hours between payments."""

RATES = st.builds(lambda count, decimals: Decimal(count).scaleb(-decimals), st.integers(-10_000, 10_000), st.integers(4, 12))


@st.composite
def payments(draw: st.DrawFn) -> list[Payment]:
    """Payments in any order, some of them written again, and some of these with another rate."""
    found: list[Payment] = draw(st.lists(st.builds(Payment, MOMENTS, RATES), min_size=1, max_size=8))
    for p, change in draw(st.lists(st.tuples(st.sampled_from(found), st.booleans()), max_size=4)):
        found.append(replace(p, rate=p.rate / 2) if change else p)
    return draw(st.permutations(found))


def landed(rows: Sequence[Row], first_line: int) -> tuple[list[Row], list[int], int]:
    """Plain loop of what may land: payments by time, lines that contradict one of their minute, and how many say one again."""
    kept, contradictions, repeats = [], [], 0
    seen: dict[int, list[Row]] = {}
    for line, row in sorted(enumerate(rows, first_line), key=lambda item: item[1][0]):
        said = seen.setdefault(row[2], [])
        if not said:
            kept.append(row)
        elif row in said:
            repeats += 1
        else:
            contradictions.append(line)
        said.append(row)
    return kept, sorted(contradictions), repeats


COLUMNS = ("ts_local_us", "ts_event_us", "funding_us", "funding_rate", "interval_hours")


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=SOME)
@given(data=st.data(), found=payments())
def test_any_payments_are_read_as_a_plain_loop_reads_them(name: str, data: st.DataObject, found: list[Payment]) -> None:
    """In each unit, with a header or none, in any order, repeated or contradicted, paid by either side, to the last decimal."""
    form = FORMS[name]
    style = replace(data.draw(styles(form)), page=0)
    said = read(form, text_of(form, [form.line(p, style) for p in found], style), style)
    assert said is not None
    assert said.rejects == []
    expected = [form.row(p, style.unit) for p in found]
    assert said.frame.select(COLUMNS).rows() == expected
    first_line = 2 if style.header else 1
    assert said.frame["source_row"].to_list() == list(range(first_line, first_line + len(found)))
    checked = check_rows(said.frame, "funding")
    told = checked.frame.select(COLUMNS).rows(), sorted(checked.rejects["line"].to_list()), checked.duplicates
    assert told == landed(expected, first_line)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=FEW)
@given(data=st.data(), found=payments())
def test_payments_in_a_unit_that_the_layout_has_not_are_refused(name: str, data: st.DataObject, found: list[Payment]) -> None:
    form = FORMS[name]
    style = replace(data.draw(styles(form)), page=0, unit=data.draw(st.sampled_from(form.foreign)))
    assert read(form, text_of(form, [form.line(p, style) for p in found], style), style) is None


def test_every_archive_has_a_layout() -> None:
    """Lists of instruments, recorded messages and mapped tables have no layout of an archive, but properties of their own."""
    written = {form.source for form in (*TRADE_FORMS.values(), *FORMS.values())}
    assert written == {family.name for family in FAMILIES} - {"exchange_info", "recorded", "table"}

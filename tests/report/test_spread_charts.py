"""Charts of spreads: money on the candle's own date, names that fit, colours by role, and a size for any number of contracts."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from pointline.curves.table import TABLE_SCHEMA
from pointline.report.chart_files import page
from pointline.report.colours import DATED, PERP
from pointline.report.spread_charts import MAX_CELLS, spread_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

USDM, COINM, BINANCE, COINBASE = "binance-usdm-future", "binance-coinm-future", "binance:BTC-USDT", "coinbase:BTC-USD"
FIRST = dt.datetime(2024, 12, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def rows(
    market: str,
    spreads: Sequence[float | None],
    *,
    exchange: str = USDM,
    quote: str = "USDT",
    reference: str = BINANCE,
    expiry: dt.datetime | None = None,
    length: dt.timedelta = DAY,
) -> pl.DataFrame:
    """Rows of the long table: a contract's spreads against a spot of 1,000, which make a rate of as many % a year where it is dated."""
    starts = [FIRST + number * length for number in range(len(spreads))]
    told = [expiry is not None and spread is not None for spread in spreads]
    found = {
        "exchange": exchange,
        "market": market,
        "reference": reference,
        "quote": quote,
        "spread": spreads,
        "spread_pct": [None if spread is None else spread / 10 for spread in spreads],
        "start": starts,
        "end": [start + length for start in starts],
        "expiry": [expiry] * len(spreads),
        "days_to_expiry": [(expiry - start - length) / DAY if expiry else None for start in starts],
        "annualised_simple_pct": [spread if known else None for spread, known in zip(spreads, told, strict=True)],
    }
    rest = dict.fromkeys(TABLE_SCHEMA.keys() - found.keys())
    return pl.DataFrame({**found, **rest}, schema_overrides=TABLE_SCHEMA).select(TABLE_SCHEMA.keys())


def dates(values: Any) -> list[str]:  # noqa: ANN401 -- a plotly trace's x
    return [f"{dt.datetime.fromtimestamp(at / 1_000, tz=dt.UTC):%Y-%m-%d %H:%M}" for at in values]


def test_the_price_spread_stands_on_the_candles_own_date() -> None:
    figure = spread_figure(rows("BTC-USDT", [79.92, 49.88, None, 120.5]), "spread", title="BTC", subtitle="December")
    (line,) = figure.data
    assert dates(line.x)[:2] == ["2024-12-01 00:00", "2024-12-02 00:00"]
    assert list(line.y[:2]) == [79.92, 49.88]
    assert np.isnan(line.y[2])
    assert line.y[3] == 120.5
    assert list(line.customdata[:2]) == pytest.approx([7.992, 4.988])  # percent, told beside it
    layout = figure.layout
    assert (layout.yaxis.title.text, layout.xaxis.title.text) == ("price spread (USDT)", "date of the candle (UTC)")
    assert (layout.title.text, layout.title.subtitle.text) == ("BTC", "December")


def test_shorter_candles_stand_at_their_start() -> None:
    hour = dt.timedelta(hours=1)
    table = pl.concat([rows("BTC-USDT-2025-03-28", [40.0] * 5, expiry=FIRST + 117 * DAY, length=hour)])
    figure = spread_figure(table, "overview", title="BTC")
    line, *curves, heat = figure.data
    for x in (line.x, heat.x):
        assert dates(x) == [f"2024-12-01 0{number}:00" for number in range(5)]
    assert [curve.name for curve in curves] == [f"2024-12-01 0{number}:00" for number in range(5)]
    assert figure.layout.xaxis.title.text == "start of the candle (UTC)"


def test_percent_of_spot() -> None:
    figure = spread_figure(rows("BTC-USDT", [50.0, 20.0]), "percent", title="BTC")
    assert list(figure.data[0].y) == [5.0, 2.0]
    assert figure.layout.yaxis.title.text == "price spread (% of spot)"


def test_perpetuals_have_one_colour_and_dated_contracts_their_own() -> None:
    march, june = FIRST + 117 * DAY, FIRST + 208 * DAY
    table = pl.concat(
        [
            rows("BTC-USD-PERP", [1.0], exchange=COINM, quote="USD"),
            rows("BTC-USDT", [2.0]),
            rows("BTC-USDT-2025-06-27", [90.0], expiry=june),
            rows("BTC-USDT-2025-03-28", [40.0], expiry=march),
        ]
    )
    figure = spread_figure(table, "spread", title="BTC")
    looks = [(line.name, line.line.color, line.line.dash) for line in figure.data]
    assert looks == [
        ("USD perp", PERP.light, "solid"),
        ("USDT perp", PERP.light, "dash"),
        ("USDT 2025-03-28", DATED[0].light, "solid"),
        ("USDT 2025-06-27", DATED[1].light, "solid"),
    ]
    assert figure.layout.yaxis.title.text == "price spread (USD or USDT)"


@pytest.mark.parametrize(
    ("contracts", "labels"),
    [
        ([("BTC-USDT", USDM, BINANCE), ("BTC-USDT", "bybit", BINANCE)], [f"{USDM}:BTC-USDT", "bybit:BTC-USDT"]),
        ([("1000SHIB-USDT", USDM, BINANCE), ("SHIB-USDT", USDM, BINANCE)], ["1000SHIB-USDT", "SHIB-USDT"]),
        ([("BTC-USDT", USDM, BINANCE), ("BTC-USDT", USDM, COINBASE)], ["USDT perp − binance", "USDT perp − coinbase"]),
        (
            [("BTC-USDT", USDM, BINANCE), ("BTC-USDT", USDM, "binance:BTC-USDC")],
            ["USDT perp − binance:BTC-USDC", "USDT perp − binance:BTC-USDT"],
        ),
        ([("BTC<b>-USDT", USDM, BINANCE), ("BTC-USDT", USDM, BINANCE)], ["BTC-USDT", "BTC&lt;b&gt;-USDT"]),
    ],
)
def test_names_are_as_short_as_can_be(contracts: list[tuple[str, str, str]], labels: list[str]) -> None:
    table = pl.concat([rows(market, [1.0], exchange=exchange, reference=reference) for market, exchange, reference in contracts])
    assert [line.name for line in spread_figure(table, "spread", title="x").data] == labels


def test_a_spike_of_a_long_line_stays() -> None:
    values: list[float | None] = [float(number % 7) for number in range(60_000)]
    values[41_234], values[50_000] = 999.0, None
    (line,) = spread_figure(rows("BTC-USDT", values, length=dt.timedelta(minutes=1)), "spread", title="x").data
    assert len(line.x) <= 3_200
    assert dates(line.x[line.y == 999.0]) == ["2024-12-29 15:14"]
    assert np.isnan(line.y).sum() == 1


def test_a_cell_of_several_candles_has_the_value_farthest_from_zero() -> None:
    values: list[float | None] = [1.0] * (MAX_CELLS + 1)
    values[10_000], values[20] = -30.0, None
    table = rows("BTC-USDT-2026-12-25", values, expiry=FIRST + 800 * DAY, length=dt.timedelta(minutes=1))
    (heat,) = spread_figure(table, "heatmap", title="x").data
    assert heat.z.shape == (1, MAX_CELLS // 2 + 1)
    assert (heat.z[0][5_000], heat.z[0][10], heat.z[0][0]) == (-30, 1, 1)
    assert np.isfinite(heat.z).all()


def test_forty_contracts_leave_room_for_the_plot_and_stay_small() -> None:
    dice = np.random.default_rng(2)
    days = 900
    table = pl.concat(
        [
            rows(
                f"BTC-{quote}-{FIRST + (days + 7 * number) * DAY:%Y-%m-%d}",
                dice.normal(40 + number, 3, days).tolist(),
                exchange=exchange,
                quote=quote,
                expiry=FIRST + (days + 7 * number) * DAY,
            )
            for exchange, quote in ((USDM, "USDT"), (COINM, "USD"))
            for number in range(20)
        ]
    )
    figure = spread_figure(table, "overview", title="BTC")
    assert len(figure.data) == 40 + 10 + 1
    assert figure.layout.legend.maxheight < 80  # the rest is scrolled
    heights = [
        (axis.domain[1] - axis.domain[0]) * (figure.layout.height - figure.layout.margin.t - figure.layout.margin.b)
        for axis in (figure.layout.yaxis, figure.layout.yaxis2)
    ]
    assert heights == pytest.approx([300, 300])
    found = re.search(r'<script type="application/json" id="figure">(.*?)</script>', page(figure), re.DOTALL)
    assert found
    assert len(found[1].encode()) < 300_000

"""Forms of symbols: each field of what they say, what they refuse, and that writing and reading agree."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.errors import ConfigError, PointlineError, RegistryError
from pointline.instruments import Registry, derive
from pointline.instruments.symbols import symbol_candidates
from pointline.venues.files import Venues, package_venues, parse_venue
from pointline.venues.forms import SymbolForm

UTC = dt.UTC
# What the package cannot know: sizes that differ by contract.
STATED = """
venue = "mine"
[[contract_size]]
exchanges = ["okx-swap", "okx-futures", "gate-futures"]
contract_type = "linear"
by_pair = { LTC-USDT = 0.1, BTC-USDC = 0.0001 }
source = "test"
[[contract_size]]
exchanges = ["okx-swap", "kucoin-futures"]
contract_type = "inverse"
by_base_asset = { ETH = 10.0 }
source = "test"
"""


def at(*parts: int) -> int:
    """Microseconds of a time."""
    return int(dt.datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc, arg-type]


def stated() -> Venues:
    files = package_venues()
    return Venues((*files.files, parse_venue(STATED, where="mine.toml", beside=frozenset(files.markets))))


MAR_28 = at(2025, 3, 28, 8)
# exchange, symbol -> base, quote, settle, type, linear or inverse, size, expiry
KNOWN: list[tuple[str, str, tuple[Any, ...]]] = [
    ("bybit", "BTCUSDT", ("BTC", "USDT", "USDT", "perpetual", "linear", 1.0, None)),
    ("bybit", "1000PEPEUSDT", ("1000PEPE", "USDT", "USDT", "perpetual", "linear", 1.0, None)),
    ("bybit", "PERPUSDT", ("PERP", "USDT", "USDT", "perpetual", "linear", 1.0, None)),
    ("bybit", "BTCPERP", ("BTC", "USDC", "USDC", "perpetual", "linear", 1.0, None)),
    ("bybit", "BTC-26DEC25", ("BTC", "USDC", "USDC", "future", "linear", 1.0, at(2025, 12, 26, 8))),
    ("bybit", "BTC-3JAN25", ("BTC", "USDC", "USDC", "future", "linear", 1.0, at(2025, 1, 3, 8))),
    ("bybit", "BTCUSDT-26DEC25", ("BTC", "USDT", "USDT", "future", "linear", 1.0, at(2025, 12, 26, 8))),
    ("bybit", "BTCUSD", ("BTC", "USD", "BTC", "perpetual", "inverse", 1.0, None)),
    ("bybit", "BTCUSDH25", ("BTC", "USD", "BTC", "future", "inverse", 1.0, MAR_28)),
    ("bybit", "BTCUSDZ24", ("BTC", "USD", "BTC", "future", "inverse", 1.0, at(2024, 12, 27, 8))),
    ("bybit", "ETHUSDM23", ("ETH", "USD", "ETH", "future", "inverse", 1.0, at(2023, 6, 30, 8))),
    ("bybit", "ETHUSDU23", ("ETH", "USD", "ETH", "future", "inverse", 1.0, at(2023, 9, 29, 8))),
    ("okx-swap", "BTC-USDT-SWAP", ("BTC", "USDT", "USDT", "perpetual", "linear", 0.01, None)),
    ("okx-swap", "ETH-USDT-SWAP", ("ETH", "USDT", "USDT", "perpetual", "linear", 0.1, None)),
    ("okx-swap", "BTC-USD-SWAP", ("BTC", "USD", "BTC", "perpetual", "inverse", 100.0, None)),
    ("okx-futures", "BTC-USDT-250328", ("BTC", "USDT", "USDT", "future", "linear", 0.01, MAR_28)),
    ("okx-futures", "BTC-USD-250328", ("BTC", "USD", "BTC", "future", "inverse", 100.0, MAR_28)),
    ("okx-futures", "LTC-USD-250328", ("LTC", "USD", "LTC", "future", "inverse", 10.0, MAR_28)),
    ("deribit", "BTC-PERPETUAL", ("BTC", "USD", "BTC", "perpetual", "inverse", 1.0, None)),
    ("deribit", "BTC-28MAR25", ("BTC", "USD", "BTC", "future", "inverse", 1.0, MAR_28)),
    ("deribit", "ETH-5AUG23", ("ETH", "USD", "ETH", "future", "inverse", 1.0, at(2023, 8, 5, 8))),
    ("deribit", "BTC_USDC-PERPETUAL", ("BTC", "USDC", "USDC", "perpetual", "linear", 1.0, None)),
    ("kraken-futures", "PF_XBTUSD", ("XBT", "USD", "USD", "perpetual", "linear", 1.0, None)),
    ("kraken-futures", "PI_XBTUSD", ("XBT", "USD", "XBT", "perpetual", "inverse", 1.0, None)),
    ("kraken-futures", "FF_XBTUSD_251128", ("XBT", "USD", "USD", "future", "linear", 1.0, at(2025, 11, 28, 8))),
    ("kraken-futures", "FI_XBTUSD_250328", ("XBT", "USD", "XBT", "future", "inverse", 1.0, at(2025, 3, 28, 16))),  # London in winter
    ("kraken-futures", "FI_ETHUSD_240927", ("ETH", "USD", "ETH", "future", "inverse", 1.0, at(2024, 9, 27, 15))),  # and in summer
    ("gate-spot", "BTC_USDT", ("BTC", "USDT", None, "spot", None, 1.0, None)),
    ("gate-futures", "BTC_USDT", ("BTC", "USDT", "USDT", "perpetual", "linear", 0.0001, None)),
    ("gate-futures", "BTC_USDT_20250328", ("BTC", "USDT", "USDT", "future", "linear", 0.0001, MAR_28)),
    ("kucoin-spot", "BTC-USDT", ("BTC", "USDT", None, "spot", None, 1.0, None)),
    ("kucoin-futures", "XBTUSDTM", ("XBT", "USDT", "USDT", "perpetual", "linear", 0.001, None)),
    ("kucoin-futures", "BTCUSDTM", ("BTC", "USDT", "USDT", "perpetual", "linear", 0.001, None)),
    ("kucoin-futures", "XBTUSDM", ("XBT", "USD", "XBT", "perpetual", "inverse", 1.0, None)),
    ("kucoin-futures", "XBTMU26", ("XBT", "USD", "XBT", "future", "inverse", 1.0, at(2026, 9, 25, 8))),
    ("kucoin-futures", "XBTMZ26", ("XBT", "USD", "XBT", "future", "inverse", 1.0, at(2026, 12, 25, 8))),
    ("hyperliquid", "BTC", ("BTC", "USDT", "USDC", "perpetual", "linear", 1.0, None)),
    ("hyperliquid", "HYPE", ("HYPE", "USDC", "USDC", "perpetual", "linear", 1.0, None)),
]
# Readable once what the venue's files lack is stated.
TO_STATE: list[tuple[str, str, str, tuple[Any, ...]]] = [
    ("okx-swap", "LTC-USDT-SWAP", "contract size", ("LTC", "USDT", "USDT", "perpetual", "linear", 0.1, None)),
    ("okx-swap", "BTC-USDC-SWAP", "contract size", ("BTC", "USDC", "USDC", "perpetual", "linear", 0.0001, None)),
    ("okx-swap", "ETH-USD-SWAP", "contract size", ("ETH", "USD", "ETH", "perpetual", "inverse", 10.0, None)),
    ("gate-futures", "LTC_USDT", "contract size", ("LTC", "USDT", "USDT", "perpetual", "linear", 0.1, None)),
    ("kucoin-futures", "ETHUSDM", "contract size", ("ETH", "USD", "ETH", "perpetual", "inverse", 10.0, None)),
]
FIELDS = ("base_asset", "quote_asset", "settle_asset", "asset_type", "contract_type", "contract_size", "expiry_us")


def fields(exchange: str, symbol: str, known: Venues | None = None) -> tuple[object, ...]:
    found = derive(exchange, symbol, known)
    assert (found.exchange, found.exchange_symbol) == (exchange, symbol)
    return tuple(getattr(found, name) for name in FIELDS)


@pytest.mark.parametrize(("exchange", "symbol", "expected"), KNOWN)
def test_every_field_of_a_symbol(exchange: str, symbol: str, expected: tuple[Any, ...]) -> None:
    assert fields(exchange, symbol) == expected


@pytest.mark.parametrize(("exchange", "symbol", "lacking", "expected"), TO_STATE)
def test_what_no_file_says_is_an_error_until_it_is_stated(exchange: str, symbol: str, lacking: str, expected: tuple[Any, ...]) -> None:
    with pytest.raises(RegistryError, match=lacking) as caught:
        derive(exchange, symbol)
    assert "venue file of the lake" in str(caught.value.hint)
    assert fields(exchange, symbol, stated()) == expected


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [
        ("bybit", "BTCUSD0924"),  # a year is missing
        ("bybit", "BTCUSDF25"),  # no quarter ends in January
        ("bybit", "BTC-31FEB25"),
        ("bybit", "BTC-26DEC25-100000-C"),
        ("bybit", "btcusdt"),
        ("bybit", "USDT"),
        ("bybit", "PERP"),
        ("okx-swap", "BTC-USDT"),
        ("okx-swap", "BTC-EUR-SWAP"),
        ("okx-futures", "BTC-USDT-SWAP"),
        ("okx-futures", "BTC-USDT-251332"),
        ("deribit", "BTC-28MAR25-100000-C"),
        ("deribit", "BTC-028MAR25"),
        ("deribit", "BTC_USDC"),
        ("deribit", "BTC-FS-28MAR25_PERP"),
        ("kraken-futures", "PV_XRPXBT"),
        ("kraken-futures", "PF_XBTUSD_250328"),
        ("kraken-futures", "XBTUSD"),
        ("gate-futures", "BTC_USD"),
        ("gate-futures", "BTCUSDT"),
        ("gate-futures", "BTC_USDT_250328"),
        ("kucoin-futures", "XBTUSDT"),
        ("kucoin-futures", "XBTZ19"),
        ("hyperliquid", "kPEPE"),
        ("hyperliquid", "@107"),
        ("hyperliquid", "xyz:TSLA"),
    ],
)
def test_unknown_forms_are_refused_and_the_forms_shown(exchange: str, symbol: str) -> None:
    with pytest.raises(RegistryError, match="cannot be split") as caught:
        derive(exchange, symbol)
    assert "{base}" in str(caught.value.expected)


def test_a_delivery_outside_the_dates_is_refused() -> None:
    for exchange, symbol in (
        ("deribit", "BTC-28DEC18"),
        ("okx-futures", "BTC-USDT-310328"),
        ("bybit", "BTCUSDH20"),
        ("kraken-futures", "FI_XBTUSD_260130"),
        ("kucoin-futures", "XBTMM22"),
    ):
        with pytest.raises(RegistryError, match="delivery rule"):
            derive(exchange, symbol)


@pytest.mark.parametrize(
    ("exchange", "name", "symbol"),
    [
        ("bybit", "btc-usdc", "BTCPERP"),
        ("bybit", "BTC-USD-PERP", "BTCUSD"),
        ("bybit", "BTC-USD-2025-03-28", "BTCUSDH25"),
        ("bybit", "BTC-USDC-2025-01-03", "BTC-3JAN25"),
        ("bybit", "BTC-USDT-2025-12-26", "BTCUSDT-26DEC25"),
        ("okx-swap", "btc-usd-perp", "BTC-USD-SWAP"),
        ("deribit", "BTC-USD-2025-03-28", "BTC-28MAR25"),
        ("kraken-futures", "XBT-USD-PERP", "PI_XBTUSD"),
        ("kucoin-futures", "XBT-USD-2026-09-25", "XBTMU26"),
        ("gate-futures", "BTC-USDT-2025-03-28", "BTC_USDT_20250328"),
        ("hyperliquid", "ETH-USDT", "ETH"),
        ("hyperliquid", "HYPE-USDC", "HYPE"),
        ("hyperliquid", "HYPE-USDT", None),  # HYPE is priced in USDC
        ("bybit", "BTC-USD-2025-03-21", None),  # not the last Friday of a quarter
        ("bybit", "BTC-USDT-2025-13-40", None),
    ],
)
def test_universal_names_lead_to_the_symbol(exchange: str, name: str, symbol: str | None) -> None:
    assert Registry().symbol_of(exchange, name) == symbol


def test_a_name_of_two_futures_of_one_day_is_refused_until_one_of_them_is_known() -> None:
    name, symbols = "XBT-USD-2024-09-27", ("FF_XBTUSD_240927", "FI_XBTUSD_240927")
    both = Registry()
    for symbol in symbols:
        assert Registry().with_derived("kraken-futures", symbol).symbol_of("kraken-futures", name) == symbol
        both = both.with_derived("kraken-futures", symbol)
        assert both.symbol_of("kraken-futures", symbol) == symbol
    for registry in (Registry(), both):
        with pytest.raises(RegistryError, match="several instruments") as caught:
            registry.symbol_of("kraken-futures", name)
        assert caught.value.expected == "one of FF_XBTUSD_240927, FI_XBTUSD_240927"


# Ways to write contracts of one base asset on one day, each exchange of the sources at least once.
ROUND_TRIPS = [
    ("binance-futures", "{base}USDT"),
    ("binance-futures", "{base}USDT_{yymmdd}"),
    ("binance-delivery", "{base}USD_PERP"),
    ("binance-delivery", "{base}USD_{yymmdd}"),
    ("bybit", "{base}USDT"),
    ("bybit", "{base}PERP"),
    ("bybit", "{base}USD"),
    ("bybit", "{base}USD{qyy}"),
    ("bybit", "{base}-{dmmmyy}"),
    ("bybit", "{base}USDT-{dmmmyy}"),
    ("okx-swap", "{base}-USDT-SWAP"),
    ("okx-swap", "{base}-USD-SWAP"),
    ("okx-futures", "{base}-USDT-{yymmdd}"),
    ("okx-futures", "{base}-USD-{yymmdd}"),
    ("deribit", "{base}-PERPETUAL"),
    ("deribit", "{base}-{dmmmyy}"),
    ("deribit", "{base}_USDC-PERPETUAL"),
    ("deribit", "{base}_USDC-{dmmmyy}"),
    ("kraken-futures", "PF_{base}USD"),
    ("kraken-futures", "PI_{base}USD"),
    ("kraken-futures", "FF_{base}USD_{yymmdd}"),
    ("kraken-futures", "FI_{base}USD_{yymmdd}"),
    ("gate-futures", "{base}_USDT"),
    ("gate-futures", "{base}_USDT_{yyyymmdd}"),
    ("kucoin-futures", "{base}USDTM"),
    ("kucoin-futures", "{base}USDCM"),
    ("kucoin-futures", "{base}USDM"),
    ("kucoin-futures", "{base}M{qyy}"),
    ("hyperliquid", "{base}"),
]
MONTH_NAMES = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


def every_size() -> Venues:
    """The package's files, and a size of one for the contracts of which they have none, on markets of the same grammar."""
    sizes = "".join(
        f'[[contract_size]]\nexchanges = ["{name}"]\ncontract_type = "{kind}"\nby_base_asset = {{ XYZ = 1.0, A1 = 1.0, SOLV = 1.0 }}\n'
        'source = "test"\n'
        for name in ("okx-swap", "okx-futures", "gate-futures", "kucoin-futures")
        for kind in ("linear", "inverse")
    )
    files = package_venues()
    return Venues((*files.files, parse_venue(f'venue = "mine"\n{sizes}', where="mine.toml", beside=frozenset(files.markets))))


@given(st.sampled_from(ROUND_TRIPS), st.sampled_from(["XYZ", "A1", "SOLV"]), st.dates(dt.date(2024, 1, 1), dt.date(2025, 12, 31)))
def test_a_symbol_leads_to_its_instrument_and_back(which: tuple[str, str], base: str, day: dt.date) -> None:
    exchange, pattern = which
    if "{qyy}" in pattern:  # the last Friday of the quarter
        month = 3 * ((day.month + 2) // 3)
        days = [dt.date(day.year, month, number) for number in range(1, 32 if month in (3, 12) else 31)]
        day = [one for one in days if one.strftime("%a") == "Fri"][-1]
    places = {
        "base": base,
        "yymmdd": day.strftime("%y%m%d"),
        "yyyymmdd": day.strftime("%Y%m%d"),
        "dmmmyy": f"{day.day}{MONTH_NAMES[day.month - 1]}{day:%y}",
        "qyy": f"{'HMUZ'[(day.month + 2) // 3 - 1]}{day:%y}",
    }
    symbol = pattern.format(**places)
    registry = Registry(known=every_size()).with_derived(exchange, symbol)
    instrument = registry.find(exchange, symbol, at(2025, 1, 15))
    assert (instrument.exchange_symbol, instrument.base_asset) == (symbol, base)
    assert (instrument.asset_type == "future") == ("yy" in pattern)
    if instrument.expiry_us is not None:
        assert dt.datetime.fromtimestamp(instrument.expiry_us / 1e6, UTC).date() == day
    assert registry.symbol_of(exchange, symbol) == symbol
    assert registry.symbol_of(exchange, instrument.market) == symbol
    assert registry.find(exchange, instrument.market, at(2025, 1, 15)) == instrument


def test_xbt_is_bitcoin_where_the_venue_says_so() -> None:
    registry = Registry()
    for exchange, symbol in (("kraken-futures", "PF_XBTUSD"), ("kucoin-futures", "XBTUSDTM"), ("kucoin-futures", "BTCUSDTM")):
        found = registry.with_derived(exchange, symbol).find(exchange, symbol, MAR_28)
        assert (found.underlying_asset, found.multiplier) == ("BTC", 1)


FORM_EXCHANGES = [market.exchange for market in package_venues().markets.values() if market.form]


@given(st.sampled_from(FORM_EXCHANGES), st.text(st.sampled_from("ABTCUSDPERPM-_0159HZ"), max_size=16))
def test_any_text_is_read_or_refused_and_what_is_read_is_written_alike(exchange: str, symbol: str) -> None:
    try:
        found = derive(exchange, symbol, stated())
    except PointlineError:
        return
    assert found.base_asset in symbol
    market = Registry(known=stated()).with_derived(exchange, symbol).frame["market"].item()
    assert symbol in symbol_candidates(exchange, market, stated())


@given(
    st.sampled_from([(market.exchange, form) for market in package_venues().markets.values() for form in market.form]),
    st.text(st.sampled_from("ABCXYZ019"), min_size=1, max_size=6),
    st.integers(0, 80),
)
def test_what_a_form_writes_it_reads(which: tuple[str, SymbolForm], base: str, quarter: int) -> None:
    form = which[1]
    # The last Friday of a quarter by a loop over its days.
    month, year = 3 * (quarter % 4) + 3, 2019 + quarter // 4
    fridays = [day for number in range(1, 31) if (day := dt.date(year, month, number)).weekday() == 4]
    day = fridays[-1] if month in (6, 9) or fridays[-1].day > 24 else dt.date(year, month, 31)
    wanted = None if form.date_style is None else day
    quote = (form.quote_assets or ("EUR",))[0]
    symbol = form.written(base, quote, wanted)
    assert symbol is not None
    assert form.read(symbol) == (base, quote, wanted)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pattern": "{quote}"}, "a pattern has"),
        ({"pattern": "{base}{base}"}, "a pattern has"),
        ({"pattern": "{base}{month}"}, "a pattern has"),
        ({"pattern": "{base}-{yymmdd}{qyy}"}, "a pattern has"),
        ({"pattern": "{base}"}, "needs one quote asset"),
        ({"pattern": "{base}{quote}", "contract_type": None, "settle_asset": "USDC"}, "spot market"),
    ],
)
def test_a_form_that_cannot_be_used_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SymbolForm(**{"contract_type": "linear", **changes})


MARKET = """
venue = "x"
[[market]]
exchange = "x"
sql_name = "x"
asset_type = "{kind}"
symbols = "forms"
source = "test"
"""
FORM = """
[[market.form]]
pattern = "{base}-{quote}"
contract_type = "linear"
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MARKET.format(kind="perpetual"), "need each other"),
        (MARKET.format(kind="spot") + FORM, "contract_type"),
        (MARKET.format(kind="future") + FORM, "has a date"),
        (MARKET.format(kind="perpetual") + FORM + "speed = 1\n", "there is no key speed"),
        (MARKET.format(kind="perpetual") + FORM.replace("{base}-", ""), "a pattern has"),
        (MARKET.format(kind="perpetual") + FORM + '[[contract_size]]\nexchanges = ["x"]\nsource = "s"\n', "a contract size needs"),
    ],
)
def test_a_venue_file_with_wrong_forms_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_venue(text, where="x.toml")

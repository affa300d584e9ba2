"""pointline backtest: what it prints, writes and refuses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.cli.running import assert_refused, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo import Demo

PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
WINDOW = ("--start", "2024-05-01", "--end", "2024-05-03", "--bars", "time", "--threshold", "5m")
FITTED = ("--fewest-bars", "30", "--refit", "6h", "--entry", "0.8")


@pytest.fixture(scope="module")
def words(demo: Demo) -> tuple[str, ...]:
    return ("backtest", *PAIR, *WINDOW, "--costs", "same-exchange", "--lake", str(demo.folder / "lake"))


def test_the_accounting_is_printed_and_adds_up(words: tuple[str, ...]) -> None:
    shown = run(*words, *FITTED)
    assert shown.code == 0
    for text in ("price of the perp leg", "funding", "fees and withdrawals", "slippage", "borrowing", "change of equity", "Sharpe ratio"):
        assert text in shown.out
    told = run(*words, *FITTED, "--json").json
    earned = told["perp_price_quote"] + told["spot_price_quote"] + told["funding_quote"]
    assert told["pnl_quote"] == pytest.approx(earned - told["fees_quote"] - told["slippage_quote"] - told["borrow_quote"], abs=1e-9)
    assert math.fsum(day["pnl_quote"] for day in told["days"]) == pytest.approx(told["pnl_quote"], abs=1e-9)


def test_tables_are_written(words: tuple[str, ...], tmp_path: Path) -> None:
    files = {option: tmp_path / f"{option}.parquet" for option in ("output", "daily", "payments")}
    shown = run(*words, "--strategy", "cash_and_carry", *(word for option, path in files.items() for word in (f"--{option}", path)))
    assert shown.code == 0
    tables = {option: pl.read_parquet(path) for option, path in files.items()}
    assert tables["output"]["side"].to_list() == ["short"]
    assert tables["daily"].height == 2
    assert tables["payments"].height == run(*words, "--strategy", "cash_and_carry", "--json").json["funding_payments"] > 0
    assert all(f"wrote {tables[option].height:,} rows" in shown.out for option in files)


def test_several_quantiles_are_a_sweep_whose_trials_count(words: tuple[str, ...], tmp_path: Path) -> None:
    table = tmp_path / "trials.csv"
    sweep = ("--fewest-bars", "30", "--refit", "6h", "--entry", "0.8,0.9", "--exit", "0.5,0.6", "--trials", "3")
    told = run(*words, *sweep, "-o", table, "--json").json
    assert len(told["trials"]) == 4
    assert told["best"]["trials"] == 7
    assert pl.read_csv(table).height == 4
    assert_refused(run(*words, *sweep, "--daily", table), "a sweep has one table", "-o FILE")


def test_figures_of_the_costs_are_changed_and_measured(words: tuple[str, ...]) -> None:
    plain, changed = (run(*words, *FITTED, *more, "--json").json for more in ((), ("--figure", "borrow_bps_per_day=2")))
    assert plain["borrow_quote"] == 0
    assert changed["borrow_quote"] > 0
    assert changed["pnl_quote"] == pytest.approx(plain["pnl_quote"] - changed["borrow_quote"])
    measured = run(*words, *FITTED, "--slippage", "bars", "--json").json
    assert measured["slippage_quote"] != plain["slippage_quote"]
    assert measured["fees_quote"] == plain["fees_quote"]


REFUSED = {
    "figure": (("--figure", "perp_taker_bps=0.0005"), "too small for basis points", "5 bps"),
    "strategy": (("--strategy", "nope"), "there is no such strategy", "funding_basis_divergence"),
    "execution": (("--execution", "limit"), "there is no such execution rule", "next_bar_vwap"),
    "capital": (("--capital", "0"), "capital_quote cannot be used", "above zero"),
    "notional": (("--notional", "-5"), "notional_quote cannot be used", "above zero"),
    "leverage": (("--leverage", "0"), "leverage cannot be used", "above 0"),
    "entry": (("--entry", "95"), "entry is no quantile", "from 0.5"),
    "list": (("--entry", "a,b"), "--entry is no list of quantiles", "0.9,0.95"),
    "twice": (("--entry", "0.9", "--above", "1"), "thresholds are given twice", "quantiles or levels"),
    "costs": (("--costs", "free"), "there is no such preset", "guide"),
    "trials": (("--trials", "-1"), "--trials is no number of trials", "0 or more"),
    "never": (("--above", "1000"), "the thresholds never trade", "the range of"),
    "few": (("--fewest-bars", "100000"), "too few bars are known", "load more days"),
    "quotes": (("--strategy", "cash_and_carry", "--execution", "touch"), "no quotes", "trades"),
    "delivery": (("--strategy", "cash_and_carry_dated"), "is never delivered", "a dated future"),
    "latency": (("--latency", "fast"), "latency_us cannot be read as a duration", "integer microseconds"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_wrong_input_is_one_clear_error(words: tuple[str, ...], case: str) -> None:
    options, what, expected = REFUSED[case]
    plain = [word for word in words if not (case == "costs" and word in {"--costs", "same-exchange"})]
    assert_refused(run(*plain, *options), what, expected)

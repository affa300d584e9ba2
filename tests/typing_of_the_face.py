"""What type checkers make of the face: checked by mypy with the package, never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import polars as pl

import pointline
from pointline.research import query


def told(done: int, total: int, name: str) -> None: ...


def the_room_of_ingest_can_be_called() -> None:
    assert_type(pointline.ingest("archives", lake="lake", progress=True), pl.DataFrame)
    assert_type(pointline.ingest(["a.zip", "b.zip"], progress=told), pl.DataFrame)


def the_room_of_downloads_can_be_called() -> None:
    report = pointline.download("binance-futures", ["BTCUSDT"], "trades", "2024-05-01", "2024-05-02", progress=told)
    assert_type(report.paths, list[Path])
    assert_type(pointline.update("lake").exit_code, int)


def rooms_are_there_after_a_plain_import() -> None:
    assert_type(pointline.research.query.trades("binance", "BTC-USDT", "2024-05-01", "2024-05-02"), pl.DataFrame)
    assert_type(pointline.sql.query("SELECT 1"), pl.DataFrame)
    assert_type(pointline.features.label_names(), list[str])


def lazy_says_which_frame(lazy: bool) -> None:
    assert_type(query.trades("a", "b", 1, 2), pl.DataFrame)
    assert_type(query.trades("a", "b", 1, 2, lazy=False, times="datetime"), pl.DataFrame)
    assert_type(query.trades("a", "b", 1, 2, lazy=True), pl.LazyFrame)
    assert_type(query.quotes("a", "b", 1, 2, lazy=True), pl.LazyFrame)
    assert_type(query.derivative_ticker("a", "b", 1, 2, lazy=True), pl.LazyFrame)
    assert_type(query.funding("a", "b", 1, 2, lazy=True), pl.LazyFrame)
    assert_type(query.open_interest("a", "b", 1, 2, lazy=True), pl.LazyFrame)
    assert_type(query.candles("a", "b", 1, 2, lazy=True), pl.LazyFrame)
    assert_type(query.candles("a", "b", 1, 2), pl.DataFrame)
    assert_type(query.funding("a", "b", 1, 2, lazy=lazy), pl.DataFrame | pl.LazyFrame)


def studies_give_frames(study: pointline.Study) -> None:
    assert_type(pointline.with_datetimes(study.features), pl.DataFrame)
    assert_type(pointline.with_datetimes(study.features.lazy()), pl.LazyFrame)


def a_lead_has_a_table_and_a_leader(study: pointline.LeadLagStudy) -> None:
    assert_type(study.table, pl.DataFrame)
    assert_type(study.measured.leader, str | None)
    assert_type(pointline.lead_lag("a:b", "c:d", start=1, end=2), pointline.LeadLagStudy)
    assert_type(pointline.next_funding("a:b", "c:d", start=1, end=2), pointline.FundingForecast)

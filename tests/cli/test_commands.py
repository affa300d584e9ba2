"""The command line through its entry point: what it prints, writes and returns, and that a wrong input changes nothing."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests import oracle
from tests.cli.running import (
    DAY,
    DAYS,
    HOUR,
    MAY_1,
    OFF_BOOK_ID,
    PERP,
    PERP_HEADER,
    PERP_TRADES,
    SPOT,
    SPOT_TRADES,
    WINDOW,
    Market,
    Result,
    Row,
    archive,
    assert_refused,
    contents,
    date,
    day_of_rows,
    done,
    exchange_info,
    run,
    run_process,
    write_zip,
)

import pointline
from pointline import open_lake
from pointline.instruments.versions import MetadataWarning
from pointline.research import query
from pointline.research.spines import (
    DollarBarConfig,
    ImbalanceBarConfig,
    TimeBarConfig,
    TradeBarConfig,
    VolumeBarConfig,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.demo import Demo


# ---- demo ------------------------------------------------------------------------------------------------------------------


def test_the_demo_leaves_tables_and_a_chart_that_needs_no_network(demo: Demo) -> None:
    folder = demo.folder
    features, labels = pl.read_parquet(folder / "features.parquet"), pl.read_parquet(folder / "labels.parquet")
    assert features.height == labels.height > 100
    assert {"bucket_end", "basis_bps", "funding_8h", "spot_age_us"} <= set(features.columns)
    html = (folder / "basis_and_funding.html").read_text(encoding="utf-8")
    assert "plotly" in html
    assert len(html) > 1_000_000  # the library itself is inside, compressed
    assert not re.search(r"<script[^>]*\ssrc\s*=", html)
    assert not re.search(r"<link[^>]*\shref\s*=\s*[\"']https?:", html)


def test_the_demo_prints_a_summary_and_where_everything_is(demo: Demo) -> None:
    folder, result = demo.folder, demo
    features = pl.read_parquet(folder / "features.parquet")
    assert "binance-futures:BTCUSDT against binance-spot:BTCUSDT" in result.out
    assert f"trades              perp {features['perp_trade_count'].sum():,}   spot {features['spot_trade_count'].sum():,}" in result.out
    assert f"of {features.height:,} bars" in result.out
    assert "the market is simulated" in (folder / "report.html").read_text(encoding="utf-8")
    for name in ("features.parquet", "labels.parquet", "basis_and_funding.html", "report.html"):
        assert str(folder / name) in result.out
    assert "20,000 perp trades a day" in result.err


def test_the_demo_as_json(tmp_path: Path) -> None:
    result = run("demo", "-o", tmp_path / "out", "--trades", "1000", "--json")
    assert result.code == 0
    features = pl.read_parquet(result.json["files"]["features"])
    assert result.json["bars"] == features.height
    assert result.json["perp_trades"] == features["perp_trade_count"].sum()
    held = done("catalog", "--lake", tmp_path / "out" / "lake", "--exchange", "binance-futures", "--json").json
    assert [row["rows"] for row in held["instruments"] if row["kind"] == "trades"] == [result.json["perp_trades"]]
    assert 1_990 < result.json["perp_trades"] <= 2_000  # prints away from the market are in no bar


def test_the_demo_wants_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious", encoding="utf-8")
    assert_refused(run("demo", "-o", tmp_path), "a folder of its own", "--output-folder")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_demo_does_not_take_a_file_for_a_folder(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.write_text("precious", encoding="utf-8")
    assert_refused(run("demo", "-o", place), str(place), code=5)
    assert place.read_text(encoding="utf-8") == "precious"


# ---- ingest ----------------------------------------------------------------------------------------------------------------


def test_ingest_counts_every_file(first_ingest: tuple[Path, Result], market: Market) -> None:
    reports = {report["path"]: report for report in first_ingest[1].json}
    assert len(reports) == 8
    counts = ("outcome", "rows_read", "rows_landed", "rows_flagged", "duplicates", "missing_ids", "problem")

    def found(path: Path) -> tuple[object, ...]:
        return tuple(reports[str(path)][name] for name in counts)

    # 400 lines and one twice, less three; one off-book print
    assert found(archive(market.folder, "futures/um", 0)) == ("landed", 398, 396, 1, 1, 3, None)
    assert found(archive(market.folder, "futures/um", 1)) == ("landed", 400, 400, 0, 0, 0, None)
    assert found(archive(market.folder, "spot", 3)) == ("landed", 120, 120, 0, 0, 0, None)
    assert found(market.folder / "usdm.json") == ("instruments", 1, 1, 0, 0, 0, None)
    for path, report in reports.items():
        assert report["file_bytes"] == Path(path).stat().st_size


def test_ingest_again_changes_nothing(copy: Path, market: Market) -> None:
    before = contents(copy)
    result = done("ingest", market.folder, "--lake", copy)
    assert "8 files: 8 unchanged; 0 rows read" in result.out
    assert contents(copy) == before


def test_the_lake_can_come_from_the_environment(market: Market, tmp_path: Path) -> None:
    path = archive(market.folder, "spot", 0)
    result = run_process("ingest", path, env={"POINTLINE_LAKE": str(tmp_path / "mine")})
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^landed +trades +120 +120 +BTCUSDT-trades-2024-05-01\.zip$", result.out, re.MULTILINE)
    assert "1 file: 1 landed; 120 rows read" in result.out
    assert done("catalog", "--lake", tmp_path / "mine", "--json").json["instruments"][0]["rows"] == 120


@pytest.mark.parametrize("width", [80, 160])
def test_two_files_of_one_name_can_be_told_apart_at_every_width(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = done("ingest", market.folder, "--lake", tmp_path / "lake").out
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    at = out.splitlines()[0].index("file")
    names = "".join(line[at:].strip() for line in out.splitlines()[2:-1])
    for day in DAYS:
        for kind in ("futures/um", "spot"):
            assert f"data/{kind}/daily/trades/BTCUSDT/BTCUSDT-trades-{date(day)}.zip" in names
    counts = [line[:at].split() for line in out.splitlines() if " trades " in line[:at] or line.startswith("landed")]
    assert sorted(int(words[1 if width == 80 else 2]) for words in counts) == [120, 120, 120, 398, 400, 400]
    ends = {match.end() for line in out.splitlines()[2:-1] if (match := re.match(r"(?:landed|instruments)(?: +[a-z]+)? +\d+", line))}
    assert len(ends) == 1  # the numbers end in one column


def test_a_file_with_a_problem_is_shown_although_many_others_are_fine(market: Market, copy: Path, tmp_path: Path) -> None:
    path = archive(market.folder, "spot", 0)
    broken = tmp_path / "zzz.csv"
    broken.write_text("nothing\n", encoding="utf-8")
    result = run("ingest", *[path] * 25, broken, "--lake", copy)
    assert result.code == 3
    assert "26 files (20 shown): 25 unchanged, 1 unknown" in result.out
    assert re.match(r"unknown .*zzz\.csv *$", result.out.splitlines()[2])


def test_a_foreign_file_in_a_folder_is_listed_but_no_error(market: Market, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    shutil.copy(archive(market.folder, "spot", 0), folder)
    shutil.copy(archive(market.folder, "spot", 0).with_name("BTCUSDT-trades-2024-05-01.zip.CHECKSUM"), folder)
    (folder / "notes.txt").write_text("buy low\n", encoding="utf-8")
    result = done("ingest", folder, "--lake", tmp_path / "lake", "--exchange", "binance-spot")
    assert "2 files: 1 unknown, 1 landed" in result.out or "2 files: 1 landed, 1 unknown" in result.out


def truncated(folder: Path) -> tuple[Path, tuple[str, ...]]:
    path = write_zip(archive(folder, "futures/um", 4), good_lines(), checksum=False)
    path.write_bytes(path.read_bytes()[:-40])
    return path, ("truncated or damaged", str(path), "download it again")


def wrong_checksum(folder: Path) -> tuple[Path, tuple[str, ...]]:
    path = write_zip(archive(folder, "futures/um", 4), good_lines())
    wanted = "0" * 64
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{wanted}  {path.name}", encoding="ascii")
    return path, ("differs from its .CHECKSUM", str(path), hashlib.sha256(path.read_bytes()).hexdigest(), wanted)


def one_column_more(folder: Path) -> tuple[Path, tuple[str, ...]]:
    lines = [f"{PERP_HEADER},is_best_match,source", *(f"{line},true,0" for line in good_lines()[1:])]
    return write_zip(archive(folder, "futures/um", 4), lines), (
        "another number of columns",
        "line 1",
        "is_best_match,source",
        "is_buyer_maker",
    )


def mixed_units(folder: Path) -> tuple[Path, tuple[str, ...]]:
    lines = [PERP_HEADER]
    for row in day_of_rows(4, 10, 1, seed=9):
        fields = row.line(spot=False).split(",")
        if row.number % 2 == 0:
            fields[4] = str(row.us)
        lines.append(",".join(fields))
    return write_zip(archive(folder, "futures/um", 4), lines), ("milliseconds", "microseconds", "line 3, column time")


def without_exchange(folder: Path) -> tuple[Path, tuple[str, ...]]:
    path = write_zip(folder / "BTCUSDT-trades-2024-05-05.zip", good_lines())
    return path, ("does not say everything", str(path), "give --exchange", "binance-futures")


def unreadable(folder: Path) -> tuple[Path, tuple[str, ...]]:
    path = archive(folder, "futures/um", 4).with_suffix(".csv")
    path.parent.mkdir(parents=True)
    path.symlink_to("/proc/self/mem")  # opens, but cannot be read, whoever the reader is
    return path, ("Input/output error",)


def empty(folder: Path) -> tuple[Path, tuple[str, ...]]:
    path = archive(folder, "futures/um", 4).with_suffix(".csv")
    path.parent.mkdir(parents=True)
    path.touch()
    return path, ("the file is empty", str(path))


def unknown(folder: Path) -> tuple[Path, tuple[str, ...]]:
    path = folder / "prices.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    return path, ("no source recognises this file", str(path), "--mapping")


def absent(folder: Path) -> tuple[Path, tuple[str, ...]]:
    return folder / "absent.zip", ("there is no such file", "absent.zip")


def empty_folder(folder: Path) -> tuple[Path, tuple[str, ...]]:
    (folder / "empty").mkdir()
    return folder / "empty", ("no archive file was found", ".zip")


def good_lines() -> list[str]:
    return [PERP_HEADER, *(row.line(spot=False) for row in day_of_rows(4, 50, 5_000, seed=4))]


@pytest.mark.parametrize(
    "spoil",
    [truncated, wrong_checksum, one_column_more, mixed_units, without_exchange, unreadable, empty, unknown, absent, empty_folder],
)
def test_ingest_refuses_a_file_and_leaves_the_lake(
    spoil: Callable[[Path], tuple[Path, tuple[str, ...]]], lake: Path, tmp_path: Path
) -> None:
    path, fragments = spoil(tmp_path)
    before = contents(lake)
    assert_refused(run("ingest", path, "--lake", lake), *fragments, advice=spoil is not absent, code=2 if spoil is empty_folder else 3)
    assert contents(lake) == before


def test_a_refused_file_does_not_stop_the_others(copy: Path, tmp_path: Path) -> None:
    path, _ = truncated(tmp_path / "bad")
    good = write_zip(archive(tmp_path / "good", "futures/um", 5), [PERP_HEADER, *(r.line(spot=False) for r in day_of_rows(5, 7, 6_000, 5))])
    result = run("ingest", path, good, "--lake", copy, "--json")
    assert (result.code, result.error["what"][:33]) == (3, "the archive is truncated or damag")
    assert [(report["outcome"], report["rows_landed"]) for report in result.json] == [("failed", 0), ("landed", 7)]


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        (("--source", "tarot"), ("no such source", "'tarot'", "binance_vision")),
        (("--mapping", "absent.toml"), ("absent.toml",)),
        (("--clock", "wall"), ("no such clock", "'wall'", "receipt or event")),
        (("--latency", "soon"), ("--latency", "'soon'", "'1m'")),
        (("--symbol", "BTC/USDT"), ("--symbol contradicts", "'BTC/USDT'", "BTCUSDT, as the path says")),
        (("--exchange", "kraken"), ("--exchange contradicts", "'kraken'", "binance-spot")),
        (("--dataset", "ticks"), ("--dataset contradicts", "'ticks'", "trades")),
    ],
    ids=lambda value: value[0].lstrip("-") if isinstance(value, tuple) and value[0].startswith("--") else "",
)
def test_ingest_refuses_an_option(options: tuple[str, ...], fragments: tuple[str, ...], market: Market, lake: Path) -> None:
    before = contents(lake)
    assert_refused(
        run("ingest", archive(market.folder, "spot", 0), "--lake", lake, *options),
        *fragments,
        advice=options[0] != "--mapping",
        code=3 if options[0] in {"--symbol", "--exchange", "--dataset"} else 2,
    )
    assert contents(lake) == before


def test_ingest_does_not_make_a_lake_of_a_folder_with_other_things(market: Market, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious", encoding="utf-8")
    assert_refused(run("ingest", archive(market.folder, "spot", 0), "--lake", tmp_path), "is not empty and is not a lake", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("field", "value", "column", "reason"),
    [(1, "6O123.45", "price", "cannot be read as a number"), (2, "-0.5", "qty", "must be above zero")],
    ids=["letters in a price", "negative quantity"],
)
def test_a_malformed_row_goes_to_quarantine_and_the_rest_lands(
    copy: Path, tmp_path: Path, field: int, value: str, column: str, reason: str
) -> None:
    lines = good_lines()
    fields = lines[20].split(",")
    fields[field] = value
    lines[20] = ",".join(fields)
    path = write_zip(archive(tmp_path, "futures/um", 4), lines)
    result = run("ingest", path, "--lake", copy)
    assert_refused(
        result, "1 malformed row", reason, f"line 21, column {column}", f"value:    '{value}'", "pointline catalog --quarantine", code=3
    )
    assert re.search(r"^landed +trades +50 +49 +1 +1 +BTCUSDT-trades", result.out, re.MULTILINE), result.out
    held = done("catalog", "--lake", copy, "--json", "--quarantine", "--exchange", "binance-futures").json
    (row,) = [row for row in held if row["file_name"] == path.name]
    assert (row["line"], row["column"], row["value"], row["raw"], row["fatal"]) == (21, column, value, lines[20], True)
    assert row["reason"] == reason


def test_a_full_disk_is_said_and_leaves_the_lake(copy: Path, tmp_path: Path) -> None:
    rows = day_of_rows(4, 20_000, 5_000, seed=4)
    path = write_zip(archive(tmp_path, "futures/um", 4), [PERP_HEADER, *(row.line(spot=False) for row in rows)])
    before = contents(copy)
    assert_refused(
        run_process("ingest", path, "--lake", copy, max_file_kib=30), "no disk space is left", "run the same command again", code=5
    )
    assert contents(copy) == before
    result = run_process("ingest", path, "--lake", copy, "--json")
    assert [report["rows_landed"] for report in result.json] == [20_000]


# ---- catalog ---------------------------------------------------------------------------------------------------------------


def test_catalog_as_json_holds_what_was_put_in(lake: Path, market: Market) -> None:
    found = done("catalog", "--lake", lake, "--json").json
    perp, spot = (next(row for row in found["instruments"] if row["exchange"] == name) for name in ("binance-futures", "binance-spot"))
    assert {key: perp[key] for key in ("kind", "symbol", "first_date", "last_date", "partitions", "rows", "files", "clock")} == {
        "kind": "trades",
        "symbol": "BTCUSDT",
        "first_date": "2024-05-01",
        "last_date": "2024-05-04",
        "partitions": 3,
        "rows": len(market.perp) + 1,  # the one off the book
        "files": 3,
        "clock": "assumed",
    }
    assert (perp["gaps"], perp["missing_partitions"]) == (["2024-05-03"], 1)
    # three ids inside the first file, 1400 to 1999 and 2400 to 3999 between the days
    assert (perp["duplicates"], perp["quarantined"], perp["missing_ids"]) == (1, 0, 3 + 600 + 1_600)
    # 620 to 999 and 1120 to 1999
    assert (spot["rows"], spot["missing_ids"], spot["duplicates"], spot["quarantined"]) == (len(market.spot), 380 + 880, 0, 0)
    assert found["files"] == {"instruments": 2, "landed": 6}
    assert [(pair["perp"], pair["spot"]) for pair in found["pairs"]] == [(PERP, SPOT)]
    assert found["quarantine"] == []


@pytest.mark.parametrize("width", [80, 160])
def test_catalog_as_text_shows_everything_that_is_wrong(lake: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = done("catalog", "--lake", lake).out
    lines = [line.rstrip() for line in out.splitlines()]
    assert max(map(len, lines[1:])) <= width
    assert re.search(rf"^{PERP}\n  trades +2024-05-01 +2024-05-04 +3 days +[\d.]+% +1,197 +assumed$", "\n".join(lines), re.MULTILINE)
    assert re.search(rf"^{SPOT}\n  trades +2024-05-01 +2024-05-04 +3 days +[\d.]+% +360 +assumed$", "\n".join(lines), re.MULTILINE)
    text = " ".join(lines)
    assert "trades of binance-futures:BTCUSDT: 1 day missing: 2024-05-03" in text
    assert "trades of binance-futures:BTCUSDT: 2,203 missing ids, 1 duplicates" in text
    assert "trades of binance-spot:BTCUSDT: 1,260 missing ids" in text
    assert f"pair {PERP} with {SPOT}: same base BTC and quote USDT; exchangeInfo of both" in text


def test_catalog_of_one_market_and_of_none(lake: Path) -> None:
    found = done("catalog", "--lake", lake, "--exchange", "binance-spot", "--symbol", "BTCUSDT", "--json").json
    assert [row["exchange"] for row in found["instruments"]] == ["binance-spot"]
    assert_refused(run("catalog", "--lake", lake, "--symbol", "ETHUSDT"), "ETHUSDT", SPOT)


def test_catalog_says_so_when_nothing_is_wrong(market: Market, tmp_path: Path) -> None:
    done("ingest", archive(market.folder, "spot", 0), "--lake", tmp_path / "lake")
    assert (
        "no gaps, no missing ids, no duplicates, nothing out of order, nothing quarantined"
        in done("catalog", "--lake", tmp_path / "lake").out
    )


@pytest.mark.parametrize("width", [80, 160])
def test_quarantined_rows_are_listed_with_file_line_and_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lake, rows = tmp_path / "lake", day_of_rows(0, 20, 1_000, seed=0)
    lines = [row.line(spot=False) for row in rows]
    lines[4] = replace(rows[4], price=-rows[4].price).line(spot=False)
    path = write_zip(archive(tmp_path, "futures/um", 0), [PERP_HEADER, *lines])
    assert run("ingest", path, "--lake", lake).code == 3
    out = done("catalog", "--lake", lake, "--quarantine").out
    assert "BTCUSDT-trades-2024-05-01.zip (trades of binance-futures:BTCUSDT)" in out
    (row,) = done("catalog", "--lake", lake, "--quarantine", "--json").json
    assert (row["file_name"], row["line"], row["column"]) == ("BTCUSDT-trades-2024-05-01.zip", 6, "price")
    assert re.search(rf"^ *6  price +{row['value']}  must be above zero", out, re.MULTILINE)
    assert "1 row set aside" in out
    assert "quarantined 1 x must be above zero" in done("catalog", "--lake", lake).out
    assert done("catalog", "--lake", lake, "--quarantine", "--exchange", "binance-spot", "--json").json == []


def test_a_print_off_the_book_lands_with_its_flag(lake: Path) -> None:
    trades = query.trades("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-02", lake=open_lake(lake))
    assert trades.filter("off_book")["trade_id"].to_list() == [OFF_BOOK_ID]


def test_a_lake_of_a_newer_version_is_not_touched(copy: Path, market: Market) -> None:
    (copy / "pointline.json").write_text('{"format_version": 99}', encoding="utf-8")
    before = contents(copy)
    commands = (("catalog",), ("ingest", archive(market.folder, "spot", 0)), ("compare", PERP, SPOT, *WINDOW))
    for command in commands:
        assert_refused(run(*command, "--lake", copy), "newer pointline", "99", "pip install --upgrade pointline", code=5)
    assert contents(copy) == before


def test_where_there_is_no_lake(tmp_path: Path) -> None:
    for command in (("catalog",), ("catalog", "--quarantine"), ("cache",), ("compare", PERP, SPOT, *WINDOW)):
        assert_refused(run(*command, "--lake", tmp_path / "nowhere"), "no lake here", str(tmp_path / "nowhere"), "pointline ingest")
    assert list(tmp_path.iterdir()) == []


def test_a_spoiled_version_file(copy: Path) -> None:
    (copy / "pointline.json").write_text("{", encoding="utf-8")
    assert_refused(run("catalog", "--lake", copy), "version file cannot be read", code=5)


# ---- compare ---------------------------------------------------------------------------------------------------------------


def compare(lake: Path, *options: str | Path, window: Sequence[str] = WINDOW) -> dict[str, Any]:
    found: dict[str, Any] = done("compare", PERP, SPOT, *window, *options, "--lake", lake, "--json").json
    return found


def inside(trades: list[oracle.Trade], start: int, end: int) -> list[oracle.Trade]:
    return [trade for trade in trades if start <= trade.us < end]


RULES: dict[str, tuple[tuple[str, ...], Callable[[list[oracle.Trade], int, int], list[oracle.Window]]]] = {
    "volume": (("--threshold", "20"), lambda t, a, b: oracle.carry_windows(t, oracle.volume, 20_000, a, b)),
    "volume, reset": (
        ("--threshold", "20.5", "--boundary", "reset"),
        lambda t, a, b: oracle.reset_windows(t, oracle.volume, 20_500, a, b),
    ),
    "dollar": (
        ("--bars", "dollar", "--threshold", "1e6"),
        lambda t, a, b: oracle.carry_windows(t, oracle.dollars, 10**6 * 10**5, a, b),
    ),
    "trades": (("--bars", "trades", "--threshold", "7"), lambda t, a, b: oracle.carry_windows(t, oracle.one, 7, a, b)),
    "time": (("--bars", "time", "--threshold", "1h30m"), lambda _, a, b: oracle.time_windows(HOUR * 3 // 2, a, b)),
    "imbalance": (
        ("--bars", "imbalance", "--threshold", "10"),
        lambda t, a, b: oracle.reset_windows(t, oracle.bought_less_sold, 10_000, a, b),
    ),
}


@pytest.mark.parametrize("kind", RULES)
def test_compare_counts_bars_as_a_plain_loop_does(lake: Path, market: Market, kind: str) -> None:
    options, windows_of = RULES[kind]
    windows = [w for day in (0, 1) for w in windows_of(market.perp, MAY_1 + day * DAY, MAY_1 + (day + 1) * DAY)]
    found = compare(lake, *options)
    perp, spot = inside(market.perp, MAY_1, MAY_1 + 2 * DAY), inside(market.spot, MAY_1, MAY_1 + 2 * DAY)
    spot_counts = [len(inside(spot, w.start, w.end)) for w in windows]
    assert (found["perp"], found["spot"], found["window_us"]) == (PERP, SPOT, [MAY_1, MAY_1 + 2 * DAY])
    assert (found["bars"], found["incomplete_bars"]) == (len(windows), sum(not w.complete for w in windows))
    assert (found["perp_trades"], found["spot_trades"]) == (len(perp), len(spot)) == (796, 240)
    perp_base, spot_base = sum(t.qty for t in perp) / 1_000, sum(t.qty for t in spot) / 1_000
    assert found["perp_volume_base"] == pytest.approx(perp_base, rel=1e-12)
    assert found["spot_volume_base"] == pytest.approx(spot_base, rel=1e-12)
    assert found["volume_ratio"] == pytest.approx(perp_base / spot_base, rel=1e-12)
    assert found["advice"].startswith("no advice: on 2 days of the window")  # the files' ids do not follow one another
    assert found["share_bars_without_spot"] == pytest.approx(spot_counts.count(0) / len(windows))
    assert found["median_bar_seconds"] == pytest.approx(median(w.end - w.start for w in windows) / 1e6)
    last = [oracle.last_trade_before(market.spot, w.end) for w in windows]
    stale = sum(trade is None or w.end - trade.us > 60_000_000 for w, trade in zip(windows, last, strict=True))
    assert found["share_bars_stale_spot"] == pytest.approx(stale / len(windows))
    assert found["bars_dropped"] == 0
    told = " ".join(found["notes"])
    for side, missing in (("perp", 603), ("spot", 380)):
        assert f"2 of the window's days are covered in part by {side} trades" in told
        assert f"{missing} missing by their ids" in told
        assert found["coverage"][side]["missing_ids"] == missing


def test_compare_anchored_at_the_start_counts_through_midnight(lake: Path, market: Market) -> None:
    start, end = MAY_1 + 6 * HOUR, MAY_1 + 2 * DAY
    found = compare(lake, "--threshold", "20", "--anchor", "start", window=("--start", "2024-05-01T06:00", "--end", "2024-05-03"))
    assert found["bars"] == len(oracle.carry_windows(market.perp, oracle.volume, 20_000, start, end))


def test_compare_inner_drops_bars_without_spot(lake: Path, market: Market) -> None:
    windows = [
        w for day in (0, 1) for w in oracle.carry_windows(market.perp, oracle.volume, 5_000, MAY_1 + day * DAY, MAY_1 + (day + 1) * DAY)
    ]
    quiet = sum(not inside(market.spot, w.start, w.end) for w in windows)
    found = compare(lake, "--threshold", "5", "--join", "inner")
    assert (found["bars"], found["bars_dropped"]) == (len(windows) - quiet, quiet)
    assert quiet > 0


def test_compare_dual_gives_the_spot_bars_of_its_own(lake: Path, market: Market, tmp_path: Path) -> None:
    found = compare(lake, "--threshold", "20", "--dual", "6", "-o", tmp_path / "dual.parquet")
    perp, spot = inside(market.perp, MAY_1, MAY_1 + 2 * DAY), inside(market.spot, MAY_1, MAY_1 + 2 * DAY)
    assert (found["perp_trades"], found["spot_trades"]) == (len(perp), len(spot))  # however often a spot bar is looked at
    assert found["volume_ratio"] == pytest.approx(sum(t.qty for t in perp) / sum(t.qty for t in spot), rel=1e-12)
    study = pointline.compare(
        PERP, SPOT, start="2024-05-01", end="2024-05-03", bars=VolumeBarConfig(20), spot_bars=VolumeBarConfig(6), lake=lake
    )
    table = pl.read_parquet(tmp_path / "dual.parquet")
    assert table.equals(study.features)
    assert "spot_bucket_end" in table.columns
    assert (table["spot_bucket_end"].drop_nulls() <= table.filter(pl.col("spot_bucket_end").is_not_null())["bucket_end"]).all()


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--threshold", "20"), VolumeBarConfig("20")),
        (("--bars", "dollar", "--threshold", "1000000"), DollarBarConfig("1000000")),
        (("--bars", "trades", "--threshold", "7"), TradeBarConfig(7)),
        (("--bars", "time", "--threshold", "90m"), TimeBarConfig("90m")),
        (("--bars", "imbalance", "--threshold", "10"), ImbalanceBarConfig("10")),
        (("--threshold", "20", "--boundary", "reset", "--anchor", "start"), VolumeBarConfig("20", boundary="reset", anchor="start")),
    ],
    ids=["volume", "dollar", "trades", "time", "imbalance", "reset from the start"],
)
def test_what_compare_writes_equals_what_the_api_returns(lake: Path, tmp_path: Path, options: tuple[str, ...], rule: Any) -> None:  # noqa: ANN401
    study = pointline.compare(PERP, SPOT, start="2024-05-01", end="2024-05-03", bars=rule, lake=lake)
    found = compare(lake, *options, "-o", tmp_path / "features.parquet")
    assert pl.read_parquet(tmp_path / "features.parquet").equals(study.features)
    assert found["bars"] == study.features.height
    assert found["rule"].startswith(type(rule).__name__)


def test_compare_writes_three_formats(lake: Path, tmp_path: Path) -> None:
    study = pointline.compare(PERP, SPOT, start="2024-05-01", end="2024-05-03", bars=VolumeBarConfig(20), lake=lake)
    for suffix in ("parquet", "exact.csv", "arrow"):
        out = done("compare", PERP, SPOT, *WINDOW, "--threshold", "20", "-o", tmp_path / f"f.{suffix}", "--lake", lake).out
        assert f"wrote {study.features.height:,} bars x {study.features.width} columns to {tmp_path / f'f.{suffix}'}" in out
    assert pl.read_ipc(tmp_path / "f.arrow").equals(study.features)
    assert pl.read_parquet(tmp_path / "f.parquet").equals(study.features)
    assert pl.read_csv(tmp_path / "f.exact.csv", schema=study.features.schema).equals(study.features)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.arrow", "f.exact.csv", "f.parquet"]


def test_costs_of_one_exchange_hold_no_withdrawal(lake: Path, tmp_path: Path) -> None:
    profits = []
    for name, options in (("guide", ()), ("same", ("--same-exchange",))):
        compare(lake, "--threshold", "20", *options, "-o", tmp_path / f"{name}.parquet")
        profits.append(pl.read_parquet(tmp_path / f"{name}.parquet")["cash_carry_profit_bps"])
    difference = (profits[1] - profits[0]).drop_nulls()
    assert len(difference) > 5
    assert difference.to_list() == pytest.approx([8.0] * len(difference))  # the guide's withdrawal


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """A lake of two whole days of both markets, whose ids follow one another, and the perp's trades."""
    folder = tmp_path_factory.mktemp("whole")
    perp: list[Row] = []
    for day in (0, 1):
        rows = day_of_rows(day, PERP_TRADES, 1 + day * PERP_TRADES, seed=day)
        perp += rows
        write_zip(archive(folder, "futures/um", day), [PERP_HEADER, *(row.line(spot=False) for row in rows)])
        rows = day_of_rows(day, SPOT_TRADES, 1 + day * SPOT_TRADES, seed=day)
        write_zip(archive(folder, "spot", day), [row.line(spot=True) for row in rows])
    lake = tmp_path_factory.mktemp("whole-lake") / "lake"
    done("ingest", folder, "--lake", lake)
    return lake, perp


def test_no_threshold_is_chosen_from_a_part_of_a_day(lake: Path) -> None:
    assert_refused(run("compare", PERP, SPOT, *WINDOW, "--lake", lake), "covered whole", "2 in it", "give a threshold")


@pytest.mark.parametrize(
    ("start", "where"),
    [("2024-05-01", "2024-05-01, the window's first day"), ("2024-05-02", "2024-05-01, the day before the window")],
)
def test_the_automatic_threshold_is_a_round_share_of_the_daily_volume(whole: tuple[Path, list[Row]], start: str, where: str) -> None:
    lake, perp = whole
    rule = compare(lake, "--threshold", "auto", window=("--start", start, "--end", "2024-05-03"))["rule"]
    told = re.search(rf"auto: ([\d.]+) BTC = ([\d.]+) % of the perp's ([\d,]+) BTC on {where}$", rule)
    assert told is not None, rule
    size, share, daily = Decimal(told[1]), float(told[2]), float(told[3].replace(",", ""))
    first_day = sum(row.qty for row in perp if row.us < MAY_1 + DAY) / 1_000
    assert daily == round(first_day)
    assert share == pytest.approx(float(size) / first_day * 100, rel=0.05)
    assert 0.1 <= share <= 0.5
    assert size.normalize().as_tuple().digits in {(1,), (2,), (5,)}
    assert f"VolumeBarConfig(volume_threshold={size}," in rule


@pytest.mark.parametrize("kind", ["dollar", "trades", "time", "imbalance"])
def test_every_kind_of_bar_can_choose_its_threshold(whole: tuple[Path, list[Row]], kind: str) -> None:
    found = compare(whole[0], "--bars", kind)
    assert "auto: " in found["rule"]
    assert found["bars"] > 10


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-05-01 00:00:00", "2024-05-03T00:00:00Z"),
        ("2024-05-01T02:00+02:00", "2024-05-02T19:00:00-05:00"),
        (str(MAY_1), str(MAY_1 + 2 * DAY)),
    ],
    ids=["datetimes", "offsets", "microseconds"],
)
def test_every_way_to_write_the_window_means_the_same(lake: Path, start: str, end: str) -> None:
    def figures(found: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in found.items() if key not in {"elapsed_s", "rows_per_s"}}

    assert figures(compare(lake, "--threshold", "20", window=("--start", start, "--end", end))) == figures(
        compare(lake, "--threshold", "20")
    )


def test_compare_draws_a_chart(lake: Path, tmp_path: Path) -> None:
    chart = tmp_path / "chart.html"
    out = done("compare", PERP, SPOT, *WINDOW, "--threshold", "20", "--chart", chart, "--lake", lake).out
    assert out.endswith(f"wrote {chart}\n")
    text = chart.read_text(encoding="utf-8")
    assert f"<h1>{PERP} against {SPOT}</h1>" in text
    assert "<p>2024-05-01 00:00 to 2024-05-03 00:00 UTC, volume bars of 20 BTC</p>" in text


def test_compare_refuses_a_place_for_the_chart_before_it_works(lake: Path, tmp_path: Path) -> None:
    refused = run("compare", PERP, SPOT, *WINDOW, "--chart", tmp_path / "chart.pdf", "-o", tmp_path / "features.parquet", "--lake", lake)
    assert_refused(refused, "the chart cannot be written there", "ending in .html or .png")
    assert list(tmp_path.iterdir()) == []


def test_compare_writes_a_report(lake: Path, tmp_path: Path) -> None:
    page, chart = tmp_path / "report.html", tmp_path / "chart.html"
    out = done("compare", PERP, SPOT, *WINDOW, "--threshold", "20", "--chart", chart, "--report", page, "--lake", lake).out
    assert out.endswith(f"wrote {chart}\nwrote {page}\n")
    text = page.read_text(encoding="utf-8")
    assert f"<h1>{PERP} against {SPOT}</h1>" in text
    assert 'study.report("report.html")' in html.unescape(text)


def test_compare_refuses_a_place_for_the_report_before_it_works(lake: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "report.pdf", tmp_path / "missing" / "report.html"):
        refused = run("compare", PERP, SPOT, *WINDOW, "--report", place, "-o", tmp_path / "features.parquet", "--lake", lake)
        assert_refused(refused, "the page cannot be written there", "ending in .html")
    assert list(tmp_path.iterdir()) == []


def test_compare_refuses_pictures_that_cannot_be_written_before_it_works(lake: Path, tmp_path: Path) -> None:
    words = ("compare", PERP, SPOT, *WINDOW, "-o", tmp_path / "features.parquet", "--lake", lake)
    assert_refused(run(*words, "--pictures", tmp_path), "--pictures are those of a report", "--report FILE.html")
    missing = run(*words, "--report", tmp_path / "report.html", "--pictures", tmp_path / "missing")
    assert_refused(missing, "missing", "folder")
    assert list(tmp_path.iterdir()) == []


def test_compare_tells_of_days_that_are_missing(lake: Path) -> None:
    result = done("compare", PERP, SPOT, "--start", "2024-05-01", "--end", "2024-05-05", "--threshold", "20", "--lake", lake)
    assert "note: 1 of the window's days have no perp trades (no bars there): 2024-05-03" in result.out
    assert "note: 1 of the window's days have no spot trades (bars there have no fresh spot): 2024-05-03" in result.out


@pytest.mark.parametrize("width", [80, 160])
def test_the_summary_reads_well_at_every_width(lake: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = done("compare", PERP, SPOT, *WINDOW, "--threshold", "20", "--lake", lake).out
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    assert "trades              perp 796   spot 240" in out
    assert re.search(r"^basis_bps( +-?[\d,.e-]+){7}$", out, re.MULTILINE)
    assert re.search(r"^funding_8h( +-){7}$", out, re.MULTILINE)
    assert "nothing in the lake: funding features are null" in out
    assert re.search(r"\d+ rows of the window's days, \d+\.\d\d M rows/s", " ".join(out.split()))


def test_changed_metadata_inside_the_window_is_told_with_its_versions(copy: Path, tmp_path: Path) -> None:
    info = exchange_info(tmp_path / "later.json", market="futures", server_us=MAY_1 + 12 * HOUR, tick="0.50")
    done("ingest", info, "--lake", copy)
    out = done("compare", PERP, SPOT, *WINDOW, "--threshold", "20", "--lake", copy, "--json").json
    (note,) = (note for note in out["notes"] if "metadata" in note)
    assert f"the metadata of {PERP} changed inside the window" in note
    assert "from 2024-05-01 00:00:00: tick 0.1, lot 0.001" in note
    assert "from 2024-05-01 12:00:00: tick 0.5, lot 0.001" in note
    with pytest.warns(MetadataWarning, match=re.escape(note)) as caught:
        pointline.compare(PERP, SPOT, start="2024-05-01", end="2024-05-03", bars=VolumeBarConfig(20), lake=copy)
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]
    text = done("compare", PERP, SPOT, *WINDOW, "--threshold", "20", "--lake", copy).out
    assert "note: the metadata of" in text
    later = compare(copy, "--threshold", "20", window=("--start", "2024-05-02", "--end", "2024-05-03"))
    assert not [note for note in later["notes"] if "metadata" in note]


NO_DATA = ("no trades of binance-futures:BTCUSDT", "2024-06-01 00:00:00 to 2024-06-02 00:00:00", "trades 2024-05-01 to 2024-05-04")
T20 = ("--threshold", "20")
WRONG: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown symbol": (("binance-futures:BTCUSD", SPOT, *WINDOW), ("unknown on this exchange", "'BTCUSD'", "BTCUSDT")),
    "unknown exchange": (("binance-future:BTCUSDT", SPOT, *WINDOW), ("binance-future'", "binance-futures")),
    "no exchange": (("BTCUSDT", SPOT, *WINDOW), ("named by exchange and symbol", "binance-futures:BTCUSDT")),
    "no data": ((PERP, SPOT, "--start", "2024-06-01", "--end", "2024-06-02"), NO_DATA),
    "swapped": ((SPOT, PERP, *WINDOW), ("swapped", f"'{SPOT}, {PERP}'", f"expected: {PERP}, {SPOT}")),
    "twice the perp": ((PERP, PERP, *WINDOW), ("is not a spot market",)),
    "threshold 0": ((PERP, SPOT, *WINDOW, "--threshold", "0"), ("must be a number above zero", "'0'")),
    "threshold negative": ((PERP, SPOT, *WINDOW, "--threshold", "-5"), ("must be a number above zero", "'-5'")),
    "threshold text": ((PERP, SPOT, *WINDOW, "--threshold", "ten"), ("must be a number above zero", "'ten'")),
    "threshold nan": ((PERP, SPOT, *WINDOW, "--threshold", "nan"), ("must be a number above zero", "'nan'")),
    "threshold infinite": ((PERP, SPOT, *WINDOW, "--threshold", "inf"), ("must be a number above zero", "'inf'")),
    "threshold too large": ((PERP, SPOT, *WINDOW, "--threshold", "1000000"), ("larger than", "1000000", "smaller threshold")),
    "half a trade": ((PERP, SPOT, *WINDOW, "--bars", "trades", "--threshold", "2.5"), ("whole number", "2.5")),
    "dollar 0": ((PERP, SPOT, *WINDOW, "--bars", "dollar", "--threshold", "0"), ("dollar_threshold",)),
    "imbalance -1": ((PERP, SPOT, *WINDOW, "--bars", "imbalance", "--threshold", "-1"), ("imbalance_threshold",)),
    "bad interval": ((PERP, SPOT, *WINDOW, "--bars", "time", "--threshold", "soon"), ("interval", "'soon'", "'1m'")),
    "interval 0": ((PERP, SPOT, *WINDOW, "--bars", "time", "--threshold", "0m"), ("interval", "'0m'")),
    "unknown bars": ((PERP, SPOT, *WINDOW, "--bars", "renko"), ("no such kind of bar", "'renko'", "volume, dollar")),
    "unknown boundary": ((PERP, SPOT, *WINDOW, *T20, "--boundary", "split"), ("boundary", "'split'", "'carry' or 'reset'")),
    "unknown anchor": ((PERP, SPOT, *WINDOW, *T20, "--anchor", "week"), ("anchor", "'week'", "'day' or 'start'")),
    "unknown join": ((PERP, SPOT, *WINDOW, *T20, "--join", "outer"), ("no such join", "'outer'", "inner")),
    "dual auto": ((PERP, SPOT, *WINDOW, *T20, "--dual", "auto"), ("--dual", "'auto'", "a number")),
    "dual 0": ((PERP, SPOT, *WINDOW, *T20, "--dual", "0"), ("must be a number above zero", "'0'")),
    "auto with reset": ((PERP, SPOT, *WINDOW, "--boundary", "reset"), ("--threshold auto", "reset", "a number")),
    "time with a boundary": (
        (PERP, SPOT, *WINDOW, "--bars", "time", "--threshold", "1m", "--boundary", "reset"),
        ("no boundary rule", "reset"),
    ),
    "imbalance that carries": (
        (PERP, SPOT, *WINDOW, "--bars", "imbalance", "--threshold", "5", "--boundary", "carry"),
        ("nothing can be carried", "'carry'"),
    ),
    "base auto": ((PERP, SPOT, *WINDOW, *T20, "--base-threshold", "auto"), ("--base-threshold", "'auto'", "a number")),
    "no multiple": ((PERP, SPOT, *WINDOW, *T20, "--base-threshold", "3"), ("no multiple", "whole number")),
    "bad start": ((PERP, SPOT, "--start", "yesterday", "--end", "2024-05-02"), ("start cannot be read", "'yesterday'", "'2024-05-01'")),
    "no such day": ((PERP, SPOT, "--start", "2024-02-30", "--end", "2024-05-02"), ("start cannot be read", "'2024-02-30'")),
    "seconds": ((PERP, SPOT, "--start", "1714521600", "--end", "2024-05-02"), ("start", "'1714521600'")),
    "milliseconds": ((PERP, SPOT, "--start", "1714521600000", "--end", "2024-05-02"), ("microseconds", "1714521600000")),
    "bad end": ((PERP, SPOT, "--start", "2024-05-01", "--end", "never"), ("end cannot be read", "'never'")),
    "backwards": ((PERP, SPOT, "--start", "2024-05-02", "--end", "2024-05-01"), ("the window is empty", "2024-05-02 to 2024-05-01")),
    "empty window": ((PERP, SPOT, "--start", "2024-05-02", "--end", "2024-05-02"), ("the window is empty", "exclusive")),
    "output nowhere": ((PERP, SPOT, *WINDOW, "-o", "nowhere/f.parquet"), ("nowhere/f.parquet", "existing folder")),
    "output of no format": ((PERP, SPOT, *WINDOW, "-o", "f.ods"), ("f.ods", ".parquet, .arrow, .csv, .xlsx, .exact.csv")),
}


@pytest.mark.parametrize("case", WRONG)
def test_compare_refuses(case: str, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, fragments = WRONG[case]
    before = contents(lake)
    result = run("compare", *arguments, "--lake", lake)
    assert_refused(result, *fragments, advice=case not in {"half a trade", "interval 0"})  # what is wrong says what would do
    assert result.out == ""
    assert contents(lake) == before
    assert list(tmp_path.iterdir()) == []


def test_the_output_may_not_be_a_folder(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "f.parquet").mkdir()
    assert_refused(run("compare", PERP, SPOT, *WINDOW, "-o", tmp_path / "f.parquet", "--lake", lake), "f.parquet")


def test_a_table_that_does_not_fit_the_disk_is_not_written_by_half(lake: Path, tmp_path: Path) -> None:
    compare(lake, *T20)  # compiled and stored, so that the table is what does not fit
    result = run_process("compare", PERP, SPOT, *WINDOW, *T20, "-o", tmp_path / "f.csv", "--lake", lake, max_file_kib=4)
    assert_refused(result, "no disk space is left", "f.csv", code=5)
    assert list(tmp_path.iterdir()) == []


# ---- what typer itself refuses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (("compare",), "missing argument 'perp'"),
        (("compare", PERP, SPOT), "missing option '--start'"),
        (("ingest",), "missing argument 'paths"),
        (("catalog", "--nonsense"), "no such option: --nonsense"),
        (("demo", "--trades", "10"), "Input should be greater than or equal to 1000"),
        (("demo", "--trades", "many"), "Input should be a valid integer"),
        (("hedge",), "no such command 'hedge'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_in_the_options_is_an_error_like_others(
    arguments: tuple[str, ...], fragment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert_refused(result, fragment, f"where:    pointline {arguments[0]}" if arguments[0] != "hedge" else "where:    pointline\n", "-h` ")
    assert "expected: pointline" in result.err
    assert result.out == ""
    assert list(tmp_path.iterdir()) == []


def test_help_lists_the_commands_uncut() -> None:
    listed = done("--help").out.split("Commands:\n")[1]
    assert {"demo", "ingest", "catalog", "compare"} <= {line.split()[0] for line in listed.splitlines()}
    assert "..." not in listed


@pytest.mark.parametrize("command", ["demo", "ingest", "catalog", "compare"])
def test_help_shows_an_example(command: str) -> None:
    assert f"Example: pointline {command}" in done(command, "--help").out


def test_a_defect_is_called_one_without_a_traceback(monkeypatch: pytest.MonkeyPatch, lake: Path) -> None:
    def broken(*_: object) -> Iterator[Path]:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("pointline.lake.catalog.catalog", broken)
    result = run("catalog", "--lake", lake)
    assert result.code == 5
    assert result.err.startswith("error: unexpected ZeroDivisionError: by nothing\n  hint: ")


def test_an_interruption_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, lake: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pointline.lake.catalog.catalog", interrupted)
    result = run("catalog", "--lake", lake)
    assert (result.code, result.err) == (130, "error: interrupted; what was finished is stored, run the same command again to go on\n")


@pytest.mark.parametrize("options", [("--json",), ()], ids=["json", "text"])
def test_a_reader_that_stops_early_ends_it_silently(lake: Path, options: tuple[str, ...]) -> None:
    command = " ".join([sys.executable, "-m", "pointline.cli", "catalog", "--lake", str(lake), *options])
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    closed = subprocess.run(["bash", "-c", f"{command} | true"], capture_output=True, text=True, check=False, env=env)
    assert (closed.returncode, closed.stdout, closed.stderr) == (0, "", "")


def test_the_cache_is_shown_and_cleared(copy: Path) -> None:
    compared = ("compare", PERP, SPOT, *WINDOW, *T20, "--lake", copy)
    done("cache", "--lake", copy, "--clear")
    first = done(*compared, "--json").out
    shown = json.loads(done("cache", "--lake", copy, "--json").out)
    assert shown["entries"] == 4  # two days of two venues
    assert 0 < shown["bytes"] < shown["most_bytes"] == 2 << 30
    again = json.loads(done(*compared, "--json").out)
    assert {**again, "elapsed_s": 0, "rows_per_s": 0} == {**json.loads(first), "elapsed_s": 0, "rows_per_s": 0}
    assert f"removed {shown['entries']} entries; 0 entries" in done("cache", "--lake", copy, "--clear").out
    done(*compared, "--no-cache")
    assert json.loads(done("cache", "--lake", copy, "--json").out)["entries"] == 0


def test_monthly_tables_tell_the_days_that_they_hold(copy: Path, market: Market) -> None:
    done("ingest", market.folder, "--lake", copy)
    rows = json.loads(done("catalog", "--lake", copy, "--json").out)["instruments"]
    monthly = [row for row in rows if row["kind"] in {"candles_1m", "funding", "open_interest"}]
    daily = next(row for row in rows if row["kind"] == "trades")
    for row in monthly:
        assert daily["first_date"] <= row["first_date"] <= row["last_date"] <= "2024-05-04"
        assert (row["kind"] != "candles_1m") or row["last_date"] == daily["last_date"]

"""A download of an archive that behaves: plans, what is stored, what a second run does, mirrors without a listing."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from tests.download.conftest import DAYS, FOLDER, NOW_US, Rig, key, trades
from tests.download.server import zipped

from pointline.download import targets_of
from pointline.download.folder import ArchiveFolder
from pointline.errors import BusyError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def whole(rig: Rig) -> dict[str, bytes]:
    return {name: stored.body for name, stored in rig.archive.files.items()}


def test_files_are_stored_as_the_archive_lays_them_out(rig: Rig) -> None:
    report = rig.run()
    assert report.counts == {"fetched": 3}
    assert rig.stored() == whole(rig)
    assert {file.verified_by for file in report.files} == {"sha256"}
    assert report.bytes == sum(len(trades(day)) for day in DAYS)
    assert (report.missing, report.exit_code, rig.parts()) == ((), 0, [])
    assert report.frame().select("period", "outcome").rows() == [(day, "fetched") for day in DAYS]


def test_a_dry_run_has_the_plan_and_writes_nothing(rig: Rig) -> None:
    report = rig.run(dry_run=True)
    assert (report.counts, report.bytes) == ({"planned": 3}, sum(len(trades(day)) for day in DAYS))
    assert not rig.folder.exists()
    assert rig.archive.gets() == []
    json.dumps(report.to_json())


def test_a_second_run_fetches_only_what_lacks(rig: Rig) -> None:
    rig.run()
    (rig.folder / key(DAYS[1])).unlink()
    report = rig.run()
    assert report.counts == {"fetched": 1, "held": 2}
    assert rig.archive.gets() == [f"/{key(DAYS[1])}"]
    assert rig.stored() == whole(rig)
    assert rig.run(dry_run=True).counts == {"held": 3}


def test_files_of_another_tool_are_taken_where_they_are_whole(rig: Rig) -> None:
    path = rig.folder / key(DAYS[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(trades(DAYS[0]))
    (rig.folder / key(DAYS[1])).write_bytes(trades(DAYS[1])[:-30])
    assert rig.run().counts == {"fetched": 1, "replaced": 1, "checked": 1}
    assert rig.stored() == whole(rig)


def test_a_changed_file_is_noticed_without_reading_it(rig: Rig) -> None:
    rig.run()
    path = rig.folder / key(DAYS[0])
    path.write_bytes(path.read_bytes()[:-1])
    assert rig.run().counts == {"replaced": 1, "held": 2}
    assert rig.stored() == whole(rig)


def test_a_version_that_the_listing_shows_replaces_the_stored_one(rig: Rig) -> None:
    rig.run()
    rig.archive.add(key(DAYS[0]), trades(DAYS[0], version=1))
    assert rig.run().counts == {"replaced": 1, "held": 2}
    assert rig.stored() == whole(rig)


def test_verify_reads_the_stored_bytes_against_the_present_check_sums(rig: Rig) -> None:
    rig.run()
    path = rig.folder / key(DAYS[2])
    before, body = path.stat(), bytearray(path.read_bytes())
    body[60] ^= 1
    path.write_bytes(body)
    import os

    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert rig.run().counts == {"held": 3}, "size and time are as before"
    assert rig.run(verify=True).counts == {"replaced": 1, "checked": 2}
    assert rig.stored() == whole(rig)


def test_pages_of_a_listing(rig: Rig) -> None:
    rig.archive.page = 2
    assert rig.run().counts == {"fetched": 3}
    markers = [path for _, path in rig.archive.asked if "marker=" in path and "/daily/" in path]
    assert len(markers) == 3


def test_without_a_listing_files_are_asked_for_by_name(rig: Rig) -> None:
    rig.archive.listed = False
    del rig.archive.files[key(DAYS[1])]
    report = rig.run()
    assert report.counts == {"fetched": 2}
    assert [(gap.first, gap.last, gap.pending) for gap in report.missing] == [(DAYS[1], DAYS[1], False)]
    assert report.exit_code == 1
    assert rig.run().counts == {"held": 2}


def test_without_check_sums_size_and_md5_count(rig: Rig) -> None:
    for day in DAYS:
        del rig.archive.files[f"{key(day)}.CHECKSUM"]
    assert {file.verified_by for file in rig.run().files} == {"md5"}


def test_the_month_serves_where_a_day_lacks_and_only_if_it_is_whole(rig: Rig) -> None:
    month = "data/futures/um/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-05.zip"
    rig.archive.add(month, zipped("BTCUSDT-trades-2024-05", "1\n"))
    assert [file.period for file in rig.run(dry_run=True).files] == list(DAYS)
    lacking = rig.run(end="2024-05-05", dry_run=True)
    assert [file.period for file in lacking.files] == ["2024-05"]
    assert lacking.missing == ()


def test_days_that_may_still_come_are_told_apart(rig: Rig) -> None:
    may_6 = 1_714_953_600_000_000
    report = rig.run(end="2024-05-08", now_us=may_6 + 3_600_000_000)
    assert [(gap.first, gap.last, gap.pending) for gap in report.missing] == [("2024-05-04", "2024-05-07", True)]
    later = rig.run(end="2024-05-08", now_us=may_6 + 86_400_000_000)
    assert [(gap.first, gap.last, gap.pending) for gap in later.missing] == [
        ("2024-05-04", "2024-05-04", False),
        ("2024-05-05", "2024-05-07", True),
    ]
    assert later.exit_code == 1


def test_stray_names_in_a_listing_are_passed_over(rig: Rig) -> None:
    rig.archive.add(f"{FOLDER}/BTCUSDT-trades-2024-05-03/../../../../../../../../evil.zip", b"x")
    rig.archive.add(f"{FOLDER}/BTCUSDT-trades-2024-99-01.zip", b"x")
    assert rig.run().counts == {"fetched": 3}


def test_two_downloads_do_not_share_a_folder(rig: Rig) -> None:
    with ArchiveFolder(rig.folder).writing(), pytest.raises(BusyError, match="another download"):
        rig.run()
    assert rig.run().counts == {"fetched": 3}


def test_a_record_that_a_crash_cut_off_is_passed_over(rig: Rig) -> None:
    rig.run()
    record = rig.folder / ".pointline" / "verified.ndjson"
    record.write_bytes(record.read_bytes()[:-20])
    assert rig.run().counts == {"held": 2, "checked": 1}
    assert rig.run().counts == {"held": 3}


def test_progress_reaches_its_total(rig: Rig) -> None:
    told: list[tuple[int, int]] = []
    rig.run(progress=lambda done, total, _: told.append((done, total)))
    total = sum(len(trades(day)) for day in DAYS)
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize(
    ("exchange", "symbol", "kind", "said"),
    [
        ("kraken", "XBTUSD", "trades", "no archive of this exchange"),
        ("binance-spot", "BTCUSDT", "quotes", "for futures only"),
        ("binance-futures", "BTCUSDT", "klines-1mo", "no such kind"),
        ("binance-futures", "BTCUSDT", "klines-1s", "for spot only"),
        ("binance-futures", "../etc", "trades", "no symbol of the archive"),
        ("binance-futures", "btcusdt", "trades", "no symbol of the archive"),
        ("binance-futures", "", "trades", "no symbol of the archive"),
    ],
)
def test_what_cannot_be_is_refused(rig: Rig, exchange: str, symbol: str, kind: str, said: str) -> None:
    from pointline.download import get_targets

    with pytest.raises(ConfigError, match=said):
        get_targets(
            targets_of(exchange, [symbol], kind, DAYS[0], DAYS[1]),
            transport=rig.transport,
            base_url=rig.url,
            folder=rig.folder,
            now_us=NOW_US,
        )
    assert not rig.folder.exists()


@pytest.mark.parametrize(
    ("kind", "dataset"),
    [
        ("trades", "trades"),
        ("aggTrades", "aggTrades"),
        ("quotes", "bookTicker"),
        ("funding", "fundingRate"),
        ("open_interest", "metrics"),
        ("liquidations", "liquidationSnapshot"),
        ("candles_1m", "klines-1m"),
        ("mark_candles_1h", "markPriceKlines-1h"),
        ("index_candles_5m", "indexPriceKlines-5m"),
        ("premium_candles_1m", "premiumIndexKlines-1m"),
        ("klines-1m", "klines-1m"),
    ],
)
def test_kinds_are_datasets_or_tables(kind: str, dataset: str) -> None:
    (target,) = targets_of("binance-futures", "BTCUSDT", kind, "2024-05-01", "2024-05-02")
    assert target.dataset == dataset


def test_funding_comes_in_months(rig: Rig) -> None:
    name = "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-05.zip"
    rig.archive.add(name, zipped("BTCUSDT-fundingRate-2024-05", "calc_time,funding_interval_hours,last_funding_rate\n"))
    report = rig.run(kinds="funding")
    assert [file.key for file in report.files] == [name]
    assert (report.missing, report.exit_code) == ((), 0)


def test_symbols_of_any_script(rig: Rig) -> None:
    name = "data/futures/um/daily/trades/币安人生USDT/币安人生USDT-trades-2024-05-01.zip"
    rig.archive.add(name, zipped("币安人生USDT-trades-2024-05-01", "1\n"))
    assert rig.run(end=DAYS[1], symbols="币安人生USDT").counts == {"fetched": 1}
    assert hashlib.sha256(rig.stored()[name]).hexdigest() in rig.stored()[f"{name}.CHECKSUM"].decode()


def test_files_below_a_folder_that_is_a_file(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    with pytest.raises(OSError, match="taken"):
        rig.run(folder=tmp_path / "taken")

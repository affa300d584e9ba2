"""Bybit's archive: files of days by name, gzip, no check sums beside them."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
from tests.cli.running import run as cli
from tests.download.conftest import NOW_US, Rig

from pointline.download import get_targets, targets_of
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.download.server import Handler

    from pointline.download.report import DownloadReport

BODY = gzip.compress(b"timestamp,symbol,side,size,price\n1714521600.1234,BTCUSDT,Buy,0.001,60000\n" * 20)
PERP = "trading/BTCUSDT/BTCUSDT2024-05-{:02d}.csv.gz"
SPOT = "spot/BTCUSDT/BTCUSDT_2024-05-{:02d}.csv.gz"


def run(rig: Rig, exchange: str, **options: Any) -> DownloadReport:  # noqa: ANN401 - those of get_targets
    rig.archive.asked.clear()
    targets = targets_of(exchange, "BTCUSDT", "trades", "2024-05-01", "2024-05-04")
    return get_targets(targets, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=NOW_US, **options)


@pytest.mark.parametrize(("exchange", "name"), [("bybit", PERP), ("bybit-spot", SPOT)])
def test_files_are_got_by_name(rig: Rig, exchange: str, name: str) -> None:
    for day in (1, 3):
        rig.archive.add(name.format(day), BODY, checksum=False)
    report = run(rig, exchange)
    assert report.counts == {"fetched": 2}
    assert {file.verified_by for file in report.files} == {"md5"}
    assert [(gap.first, gap.last) for gap in report.missing] == [("2024-05-02", "2024-05-02")]
    assert rig.stored() == {name.format(day): BODY for day in (1, 3)}
    assert run(rig, exchange).counts == {"held": 2}
    assert rig.archive.gets(".gz") == []
    assert run(rig, exchange, verify=True).counts == {"checked": 2}


def test_an_empty_gzip_is_a_file(rig: Rig) -> None:
    rig.archive.add(PERP.format(1), gzip.compress(b""), checksum=False)
    assert run(rig, "bybit").counts == {"fetched": 1}


def test_half_a_gzip_without_its_length_is_refused(rig: Rig) -> None:
    rig.archive.add(PERP.format(1), BODY, checksum=False)

    def half(handler: Handler) -> bool:
        if "trading" not in handler.path:
            return False
        if handler.command == "HEAD":
            handler.send_response(200)
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.close_connection = True
        else:
            handler.send_without_length(BODY[:-3])
        return True

    rig.archive.misdeeds.append(half)
    report = run(rig, "bybit")
    assert (report.counts, report.exit_code, rig.stored()) == ({"refused": 3}, 3, {})
    rig.archive.misdeeds.clear()
    assert run(rig, "bybit").counts == {"fetched": 1}


@pytest.mark.parametrize(("symbol", "kind", "said"), [("../x", "trades", "no symbol"), ("BTCUSDT", "quotes", "no such kind")])
def test_what_cannot_be_is_refused(rig: Rig, symbol: str, kind: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        get_targets(
            targets_of("bybit", symbol, kind, "2024-05-01", "2024-05-02"), transport=rig.transport, base_url=rig.url, folder=rig.folder
        )


def test_ingest_of_files_that_no_source_reads_is_no_silent_success(rig: Rig, tmp_path: Path) -> None:
    odd = gzip.compress(b"nothing,that,a,source,reads\n1,2,3,4,5\n")
    rig.archive.add(PERP.format(1), odd, checksum=False)
    wanted = ("--exchange", "bybit", "--symbols", "BTCUSDT", "--kinds", "trades", "--start", "2024-05-01", "--end", "2024-05-02")
    found = cli("download", *wanted, "--folder", rig.folder, "--base-url", rig.url, "--ingest", "--lake", tmp_path / "lake")
    assert found.code == 3
    assert "1 fetched" in found.out

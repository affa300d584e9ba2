"""Wrong files, wrong folders, no space: the lake reads as before, the error says what to do, and the next run completes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.lake.archives import (
    FUTURES,
    TRADES_HEADER,
    contents,
    futures_trades,
    land,
    ms,
    quarantine,
    rows,
    take,
    trade,
    versions,
    write,
)
from tests.lake.stores import BOTH_STORES_SLOWLY

from pointline.errors import LakeError, LakeVersionError, PointlineError
from pointline.lake import open_lake
from pointline.lake.durable import single_writer
from pointline.schema import FORMAT_VERSION
from pointline.sources import text_lines
from pointline.sources.binance_vision import BinanceVision
from pointline.sources.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAY_1 = [trade(number, f"2024-05-01 12:00:0{number}") for number in range(1, 6)]
DAY_2 = [trade(number, f"2024-05-02 12:00:0{number}") for number in range(6, 9)]
NAME = "BTCUSDT-trades-2024-05-02"
ROOT = Path(__file__).resolve().parent.parent.parent


def second_day(folder: Path, *lines: str, ending: str = ".zip") -> Path:
    return write(folder, f"{FUTURES}/daily/trades/BTCUSDT/{NAME}{ending}", *lines, header=TRADES_HEADER)


def truncated(folder: Path) -> Path:
    path = second_day(folder, *DAY_2)
    path.write_bytes(path.read_bytes()[:-30])
    return path


def damaged(folder: Path) -> Path:
    """The CSV inside differs from the checksum that the zip itself holds."""
    path = second_day(folder, *DAY_2)
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    return path


def truncated_gz(folder: Path) -> Path:
    path = second_day(folder, *DAY_2, ending=".csv.gz")
    path.write_bytes(path.read_bytes()[:-9])
    return path


def other_checksum(folder: Path) -> Path:
    path = second_day(folder, *DAY_2)
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{'0' * 64}  {path.name}", encoding="ascii")
    return path


def empty_checksum(folder: Path) -> Path:
    path = second_day(folder, *DAY_2)
    path.with_name(f"{path.name}.CHECKSUM").touch()
    return path


def wide(folder: Path) -> Path:
    lines = [f"{line},0,1" for line in DAY_2]
    return write(folder, f"{FUTURES}/daily/trades/BTCUSDT/{NAME}.zip", *lines, header=f"{TRADES_HEADER},rpi,source")


def renamed(folder: Path) -> Path:
    header = TRADES_HEADER.replace("price", "amount")
    return write(folder, f"{FUTURES}/daily/trades/BTCUSDT/{NAME}.zip", *DAY_2, header=header)


def unlike_header(folder: Path) -> Path:
    return second_day(folder, *(f"{line},0" for line in DAY_2))


def two_units(folder: Path) -> Path:
    stamp = str(ms("2024-05-02 12:00:07"))
    return second_day(folder, DAY_2[0], DAY_2[1].replace(stamp, f"{stamp}000"), DAY_2[2])


def seconds(folder: Path) -> Path:
    stamp = str(ms("2024-05-02 12:00:06"))
    return second_day(folder, DAY_2[0].replace(stamp, stamp[:-3]))


def empty_zip(folder: Path) -> Path:
    path = second_day(folder)
    path.write_bytes(b"")
    return path


def empty_member(folder: Path) -> Path:
    return write(folder, f"{FUTURES}/daily/trades/BTCUSDT/{NAME}.zip")


def empty_csv(folder: Path) -> Path:
    return write(folder, f"{FUTURES}/daily/trades/BTCUSDT/{NAME}.csv")


def two_members(folder: Path) -> Path:
    path = second_day(folder, *DAY_2)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "hello")
    return path


def other_member(folder: Path) -> Path:
    path = second_day(folder, *DAY_2)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"BTCUSDT-trades-2024-05-02.csv", b"ETHUSDT-trades-2024-05-02.csv"))
    return path


def encrypted(folder: Path) -> Path:
    path = second_day(folder, *DAY_2)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x03\x04") + 6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


def deflate64(folder: Path) -> Path:
    path = second_day(folder, *DAY_2)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x03\x04") + 8] = 9
    content[content.index(b"PK\x01\x02") + 10] = 9
    path.write_bytes(content)
    return path


def endless_line(folder: Path) -> Path:
    return second_day(folder, *DAY_2, "7" * (text_lines.LINE_BYTES + 1))


def pipe(folder: Path) -> Path:
    path = second_day(folder, ending=".csv")
    path.unlink()
    os.mkfifo(path)
    return path


def link_to_itself(folder: Path) -> Path:
    path = second_day(folder, ending=".csv")
    path.unlink()
    path.symlink_to(path)
    return path


def mostly_wrong(folder: Path) -> Path:
    return second_day(folder, DAY_2[0], *(line.replace("0.001", "0.01") for line in DAY_2[1:]))


def malformed_name(folder: Path) -> Path:
    return write(folder, f"{FUTURES}/daily/trades/BTCUSDT/BTCUSDT-trades-2024-13-02.zip", *DAY_2, header=TRADES_HEADER)


def not_utf8(folder: Path) -> Path:
    path = second_day(folder, *DAY_2, ending=".csv")
    return path.rename(path.with_name(os.fsdecode(b"\xe9-BTCUSDT-trades-2024-05-02 (1).csv")))


def exchange_info(folder: Path, content: str) -> Path:
    path = folder / "exchangeInfo.json"
    path.write_text(content, encoding="utf-8")
    return path


def nested(folder: Path) -> Path:
    return exchange_info(folder, '{"timezone":"UTC","serverTime":1714521600000,"a":' + "[" * 100_000 + "]" * 100_000 + "}")


def another_exchange(folder: Path) -> Path:
    symbol = {"symbol": "BTCUSDT", "status": "1", "baseAsset": "BTC", "quoteAsset": "USDT", "isSpotTradingAllowed": True, "filters": []}
    info = {"timezone": "CST", "serverTime": 1_714_521_600_000, "rateLimits": [], "exchangeFilters": [], "symbols": [symbol]}
    return exchange_info(folder, json.dumps(info))


def times_alone(folder: Path) -> Path:
    body = {"timezone": "UTC", "serverTime": 1_714_521_600_000, "retCode": 0, "result": {"list": [{"symbol": "BTCUSDT"}]}}
    return exchange_info(folder, json.dumps(body))


def another_address(folder: Path) -> Path:
    symbol = {"symbol": "BTCUSDT", "contractType": "PERPETUAL", "deliveryDate": 4_133_404_800_000, "baseAsset": "BTC", "quoteAsset": "USDT"}
    filters = [{"filterType": "PRICE_FILTER", "tickSize": "0.1"}, {"filterType": "LOT_SIZE", "stepSize": "0.001"}]
    info = {"timezone": "UTC", "serverTime": 1_714_521_600_000, "futuresType": "U_MARGINED", "rateLimits": []}
    info["symbols"] = [{**symbol, "marginAsset": "USDT", "filters": filters}]
    return exchange_info(folder, f"https://fapi.asterdex.com/fapi/v1/exchangeInfo -> 1.0: {json.dumps(info)}")


def event_without_name(folder: Path) -> Path:
    line = '1714521600050001 {"e":%s,"E":1714521600000,"T":1714521600000,"s":"BTCUSDT","t":1,"p":"1","q":"1","X":"MARKET","m":true}'
    return write(folder, "binance_usdm_btcusdt.dat", line % '"trade"', line % "[]", line % "{}")


def no_market(folder: Path) -> Path:
    return write(folder, f"downloads/{NAME}.zip", *DAY_2, header=TRADES_HEADER)


def absent(folder: Path) -> Path:
    return folder / f"{FUTURES}/daily/trades/BTCUSDT/{NAME}.zip"


def too_many_digits(folder: Path) -> Path:
    return second_day(folder, trade(6, "2024-05-02 12:00:06", qty="0.12345678901234"))


FAILURES: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "truncated zip": (
        truncated,
        ("the archive is truncated or damaged", "where:", "expected: a whole archive", "hint:     download it again"),
    ),
    "damaged zip": (damaged, ("the archive is truncated or damaged", "value:", "hint:     download it again")),
    "truncated gz": (
        truncated_gz,
        ("the archive is truncated or damaged", "value:    'Compressed file ended", "hint:     download it again"),
    ),
    "wrong checksum": (other_checksum, ("sha256 differs from its .CHECKSUM", "value:", f"expected: {'0' * 64}", "hint:     download both")),
    "empty checksum": (empty_checksum, ("sha256 differs from its .CHECKSUM", "expected: a sha256", "hint:     download both")),
    "columns more in all lines": (wide, ("another number of columns", "line 1", "value:    'id,price", "expected: 6 (id, price, qty")),
    "column of another name": (renamed, ("a column has another name", "line 1, column amount", "value:    'amount'", "expected: price")),
    "rows unlike their header": (
        unlike_header,
        ("has 7 fields, not 6, and no line fits", "line 2", "value:", "expected: 6 fields (id, price"),
    ),
    "ms and us interleaved": (
        two_units,
        (
            "times change from milliseconds to microseconds inside the file",
            "line 3, column time",
            f"value:    {ms('2024-05-02 12:00:07')}000",
            "expected: milliseconds, as in the lines above",
            "hint:     the file was put together from two sources",
        ),
    ),
    "seconds": (
        seconds,
        ("is no time between 2009 and 2050", "line 2, column time", f"value:    '{ms('2024-05-02 12:00:06') // 1000}'"),
    ),
    "empty zip": (empty_zip, ("the archive is truncated or damaged", "value:", "hint:     download it again")),
    "zip of an empty file": (empty_member, ("the file is empty", "where:", "expected: at least one row", "hint:     download it again")),
    "empty csv": (empty_csv, ("the file is empty", "where:", "expected: at least one row", "hint:     download it again")),
    "zip of two files": (two_members, ("should hold exactly one CSV", "'notes.txt'", "expected: one CSV", "hint:     unpack it")),
    "market unknown": (no_market, ("does not say everything", "expected: …/{spot|futures/um|futures/cm}", "hint:     give --exchange")),
    "absent": (absent, ("there is no such file", "where:")),
    "zip of another symbol": (
        other_member,
        ("the file inside is another one", "'ETHUSDT-trades-2024-05-02.csv'", "symbol BTCUSDT, not ETH"),
    ),
    "encrypted zip": (encrypted, ("the zip is encrypted", "hint:     unpack it")),
    "deflate64": (deflate64, ("packed by a method that is not read", "expected: deflate", "hint:     unpack it")),
    "a line without end": (endless_line, ("a line is too long", "expected: up to 16,777,216 bytes")),
    "a pipe": (pipe, ("this is no file that can be read",)),
    "a link to itself": (link_to_itself, ("this is no file that can be read",)),
    "most rows wrong": (mostly_wrong, ("2 of the first 3 rows cannot be believed", "line 3, column quote_qty", "contradicts itself")),
    "a month that is none": (malformed_name, ("the file's name is none that the archive gives", "expected: {SYMBOL}-{dataset")),
    "exchangeInfo nested deep": (nested, ("nested too deep",)),
    "exchangeInfo of another exchange": (
        another_exchange,
        ("of another exchange, not of Binance", "timezone UTC, symbols with PRICE_FILTER"),
    ),
    "an answer with a time": (times_alone, ("the file is not exchangeInfo", "rateLimits")),
    "exchangeInfo of another address": (another_address, ("address and content disagree", "asterdex")),
    "too many digits": (too_many_digits, ("cannot be stored exactly", "value:    0.12345678901234", "expected: up to 12 decimals")),
}


@pytest.mark.parametrize("name", FAILURES)
@BOTH_STORES_SLOWLY
def test_a_file_that_cannot_be_trusted_changes_nothing(tmp_path: Path, place: Path | str, name: str) -> None:
    land(place, futures_trades(tmp_path, "2024-05-01", *DAY_1))
    before, commits = contents(place), versions(place)
    make, parts = FAILURES[name]
    path = make(tmp_path)
    (report,) = take(place, path)
    assert report.outcome == "failed"
    assert report.problem is not None
    assert f"where:    {path}" in report.problem
    for part in parts:
        assert part in report.problem
    assert contents(place) == before
    assert versions(place) == commits
    assert quarantine(place) == []
    for other in (path, path.with_name(f"{path.name}.CHECKSUM")):
        other.unlink(missing_ok=True)
    land(place, second_day(tmp_path, *DAY_2))
    assert rows(place)["trade_id"].to_list() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_file_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    first, third = (futures_trades(tmp_path, date, trade(n, f"{date} 12:00:00")) for n, date in ((1, "2024-05-01"), (3, "2024-05-03")))
    reports = take(tmp_path / "lake", first, truncated(tmp_path), third)
    assert [report.outcome for report in reports] == ["landed", "failed", "landed"]
    assert rows(tmp_path / "lake")["trade_id"].to_list() == [1, 3]


def test_odd_files_of_every_kind_end_no_run(tmp_path: Path) -> None:
    """Each one is refused with one error; the good ones around them land; a second run says the same."""
    first, last = (futures_trades(tmp_path, date, trade(n, f"{date} 12:00:00")) for n, date in ((1, "2024-05-01"), (3, "2024-05-03")))
    odd = [make(tmp_path / str(number)) for number, (make, _) in enumerate(FAILURES.values()) if (tmp_path / str(number)).mkdir() is None]
    odd += [not_utf8(tmp_path / "not utf-8"), event_without_name(tmp_path / "event")]
    for _ in range(2):
        reports = take(tmp_path / "lake", first, *odd, last)
        by_path = {report.path: report for report in reports}
        assert len(reports) == len(odd) + 2
        assert {by_path[path].outcome for path in odd[:-1]} == {"failed"}
        assert all(report.problem is not None and report.problem.encode() for path, report in by_path.items() if path in odd[:-1])
        assert {by_path[path].outcome for path in (first, last)} <= {"landed", "unchanged"}
        json.dumps([dict(vars(report)) for report in reports], default=str).encode()
        assert rows(tmp_path / "lake")["trade_id"].to_list() == [1, 3]


def test_whatever_a_parser_raises_ends_its_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, path = tmp_path / "lake", second_day(tmp_path, *DAY_2)
    errors: list[BaseException] = [
        RuntimeError("odd"),
        RecursionError(),
        MemoryError(),
        KeyError("x"),
        UnicodeError("bytes"),
        ValueError("\udce9"),
    ]
    errors.append(pl.exceptions.PanicException("not implemented"))
    for error in errors:

        def broken(*_: object, error: BaseException = error) -> Iterator[object]:
            yield from ()
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(BinanceVision, "read", broken)
            (report,) = take(root, path)
        assert report.outcome == "failed"
        assert str(path) in str(report.problem)
        str(report.problem).encode()
    for fatal in (LakeError("the lake is damaged"), KeyboardInterrupt()):
        with monkeypatch.context() as patch:
            patch.setattr(BinanceVision, "read", lambda *_, fatal=fatal: (_ for _ in ()).throw(fatal))
            with pytest.raises(type(fatal)):
                take(root, path)
    land(root, path)
    assert rows(root)["trade_id"].to_list() == [6, 7, 8]


def test_a_file_whose_name_is_not_utf8_lands_under_a_name_that_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    path = second_day(folder, *DAY_2, f"9{DAY_2[0][1:].replace('true', 'perhaps')}", ending=".csv")
    named = path.rename(path.with_name(os.fsdecode(b"\xe9-" + path.name.encode())))
    (report,) = land(tmp_path / "lake", named)
    assert report.rows_landed == 3
    assert "\\udce9" in str(report.problem)
    assert quarantine(tmp_path / "lake")[0]["file_name"] == f"\\udce9-{path.name}"


BAD_ROWS = {
    "one line with a column more": (f"{DAY_2[1]},9", "has 7 fields, not 6", None),
    "one line cut short": ("7,60000.1,0.00", "has 3 fields, not 6", None),
    "thousands separator": (DAY_2[1].replace("60000.1", "60,000.1"), "has 7 fields, not 6", None),
    "letters in a price": (DAY_2[1].replace("60000.1", "6OOOO.1"), "cannot be read as a number", "price"),
    "empty price": (DAY_2[1].replace("60000.1", ""), "cannot be read as a number", "price"),
    "negative qty": (DAY_2[1].replace("0.001", "-0.001"), "must be above zero", "qty"),
    "zero qty": (DAY_2[1].replace("0.001", "0.000"), "must be above zero", "qty"),
    "negative price": (DAY_2[1].replace("60000.1", "-60000.1"), "must be above zero", "price"),
    "infinite price": (DAY_2[1].replace("60000.1", "1e999"), "is not a finite number", "price"),
    "no number for qty": (DAY_2[1].replace("0.001", "NaN"), "is not a finite number", "qty"),
    "id with decimals": (f"7.5{DAY_2[1][1:]}", "cannot be read as a whole number", "id"),
    "id beyond 64 bits": (f"{2**63}{DAY_2[1][1:]}", "cannot be read as a whole number", "id"),
    "flag in another spelling": (DAY_2[1].replace("true", "yes"), "cannot be read as true or false", "is_buyer_maker"),
    "text for a time": (DAY_2[1].replace(str(ms("2024-05-02 12:00:07")), "noon"), "cannot be read as a whole number", "time"),
    "not text": ("\x00\x01\x02", "has 1 fields, not 6", None),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_malformed_row_is_set_aside_and_the_rest_lands(tmp_path: Path, name: str) -> None:
    root = tmp_path / "lake"
    bad, reason, column = BAD_ROWS[name]
    (report,) = land(root, second_day(tmp_path, DAY_2[0], bad, DAY_2[2]))
    assert (report.outcome, report.rows_read, report.rows_landed, report.rows_quarantined) == ("landed", 3, 2, 1)
    assert rows(root).select("trade_id", "source_row").rows() == [(6, 2), (8, 4)]
    (row,) = quarantine(root)
    assert (row["file_name"], row["line"], row["column"], row["reason"], row["raw"]) == (f"{NAME}.zip", 3, column, reason, bad)
    assert report.problem is not None
    for part in ("1 malformed row went to quarantine", reason, f"{NAME}.zip, line 3", "hint:"):
        assert part in report.problem


def test_an_unknown_file_says_how_to_name_it(tmp_path: Path) -> None:
    path = write(tmp_path, "holiday.csv", "a,b,c")
    (report,) = take(tmp_path / "lake", path)
    assert report.outcome == "unknown"
    assert report.problem is not None
    for part in (
        "no source recognises this file",
        str(path),
        f"{', '.join(family.name for family in FAMILIES)} by its path",
        "--mapping mapping.toml",
    ):
        assert part in report.problem


def test_a_lake_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    land(root, futures_trades(tmp_path, "2024-05-01", *DAY_1))
    before = contents(root)
    (root / "pointline.json").write_text('{"format_version": 999}', encoding="utf-8")
    with pytest.raises(LakeVersionError) as caught:
        take(root, second_day(tmp_path, *DAY_2))
    error = caught.value
    assert (error.what, error.value, error.expected) == (
        "this lake was written by a newer pointline",
        999,
        f"format version up to {FORMAT_VERSION}",
    )
    assert error.where == str(root / "pointline.json")
    assert "pip install --upgrade pointline" in str(error.hint)
    (root / "pointline.json").write_text(f'{{"format_version": {FORMAT_VERSION}}}', encoding="utf-8")
    assert contents(root) == before


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", '{"format_version": null}'])
def test_an_unreadable_version_file_is_refused(tmp_path: Path, text: str) -> None:
    root = tmp_path / "lake"
    open_lake(root, create=True)
    (root / "pointline.json").write_text(text, encoding="utf-8")
    with pytest.raises(LakeError, match="version file cannot be read") as caught:
        open_lake(root)
    assert (caught.value.where, caught.value.expected) == (str(root / "pointline.json"), '{"format_version": 2}')


def test_a_folder_with_other_things_is_not_taken_for_a_lake(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    write(folder, "holiday.csv", "a,b,c")
    with pytest.raises(LakeError, match="is not empty and is not a lake") as caught:
        take(folder, futures_trades(tmp_path, "2024-05-01", *DAY_1))
    assert caught.value.where == str(folder)
    assert "--lake" in str(caught.value.hint)
    assert [path.name for path in folder.iterdir()] == ["holiday.csv"]
    with pytest.raises(LakeError, match="there is no lake here"):
        open_lake(folder)


def test_a_place_that_does_not_exist_is_no_lake(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="there is no lake here") as caught:
        open_lake(tmp_path / "nowhere")
    assert caught.value.where == str(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_second_writer_waits_its_turn(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    land(root, futures_trades(tmp_path, "2024-05-01", *DAY_1))
    before, path = contents(root), second_day(tmp_path, *DAY_2)
    with single_writer(root):
        with pytest.raises(LakeError) as caught:
            take(root, path)
        assert contents(root) == before
    assert caught.value.what == "another process is writing to this lake"
    assert (caught.value.where, caught.value.value) == (str(root), f"process {os.getpid()}")
    assert "wait until it has finished" in str(caught.value.hint)
    land(root, path)
    assert rows(root)["trade_id"].to_list() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_second_writer_in_another_process_is_refused_and_a_dead_one_is_forgotten(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    open_lake(root, create=True)
    script = (
        "import sys\nfrom pathlib import Path\nfrom pointline.lake.durable import single_writer\n"
        "with single_writer(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LakeError, match="another process is writing") as caught:
            take(root, second_day(tmp_path, *DAY_2))
        assert caught.value.value == f"process {holder.pid}"
        holder.kill()
    land(root, second_day(tmp_path, *DAY_2))
    assert rows(root)["trade_id"].to_list() == [6, 7, 8]


FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path
from pointline.errors import LakeError
from tests.lake.archives import take
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
root, limit, path = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    (report,) = take(root, path)
    print(json.dumps({"outcome": report.outcome, "problem": report.problem}))
except LakeError as error:
    print(json.dumps({"outcome": "stopped", "problem": str(error)}))
"""


def on_a_full_disk(root: Path, limit: int, path: Path) -> dict[str, str]:
    """Ingests in a process whose files may not grow beyond `limit` bytes; what it said."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(root), str(limit), str(path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout, done.stderr
    said: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.mark.parametrize("limit", [10, 300, 1_500, 4_000])
def test_no_space_leaves_the_lake_as_it_was(tmp_path: Path, limit: int) -> None:
    """A small limit stops the Delta log, a larger one the data file."""
    root = tmp_path / "lake"
    land(root, futures_trades(tmp_path, "2024-05-01", *DAY_1))
    before = contents(root)
    many = [
        trade(n, f"2024-05-02 12:{n // 60 % 60:02d}:{n % 60:02d}", f"{60000 + n * 7919 % 97}.{n % 10}", f"0.{n:03d}1")
        for n in range(1, 999)
    ]
    path = second_day(tmp_path, *many)
    said = on_a_full_disk(root, limit, path)
    assert said["outcome"] == "stopped"
    for part in ("no disk space is left; the lake is as it was before this file", "where:", str(root), "free some space and run the same"):
        assert part in said["problem"]
    assert contents(root) == before
    assert rows(root)["trade_id"].to_list() == [1, 2, 3, 4, 5]
    land(root, path)
    land(tmp_path / "reference", futures_trades(tmp_path, "2024-05-01", *DAY_1), path)
    assert contents(root) == contents(tmp_path / "reference")


def test_no_space_for_the_log_leaves_the_lake_as_it_was(tmp_path: Path) -> None:
    """Many small data files are written, then the journal that would make them live does not fit."""
    root = tmp_path / "lake"
    land(root, futures_trades(tmp_path, "2024-05-01", *DAY_1))
    before = contents(root)
    path = futures_trades(tmp_path, "2024-05", *(trade(day + 4, f"2024-05-{day:02d} 12:00:00") for day in range(2, 32)))
    said = on_a_full_disk(root, 9_000, path)
    assert said["outcome"] == "stopped"
    assert "no disk space is left; the lake is as it was before this file" in said["problem"]
    assert contents(root) == before
    assert len(list(root.glob("trades/*/*/*/*.parquet"))) == 1
    land(root, path)
    assert rows(root)["trade_id"].to_list() == [1, 2, 3, 4, 5, *range(6, 36)]


def test_no_space_for_rows_put_aside_on_disk(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    open_lake(root, create=True)
    path = second_day(tmp_path, *(trade(n, "2024-05-02 12:00:00") for n in range(1, 2_000)))
    script = FULL_DISK.replace("signal.signal", "import pointline.ingest.spool as spool\nspool.SPILL_ROWS = 100\nsignal.signal", 1)
    done = subprocess.run(
        [sys.executable, "-c", script, str(root), "20000", str(path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["outcome"] == "stopped"
    assert "no disk space is left" in said["problem"]
    assert contents(root) == {}
    land(root, path)
    assert rows(root).height == 1_999


def test_errors_of_the_lake_are_errors_of_pointline() -> None:
    assert issubclass(LakeError, PointlineError)
    assert issubclass(LakeVersionError, LakeError)

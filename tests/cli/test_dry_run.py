"""What commands would do, and that they then do nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.cli.running import DAYS, MAY_1, PERP_HEADER, Market, archive, contents, date, day_of_rows, done, exchange_info, run, write_zip

from pointline import open_lake

if TYPE_CHECKING:
    from collections.abc import Callable


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its size and time of change: the lock and the cache too."""
    return {str(path): ((status := path.lstat()).st_size, status.st_mtime_ns) for path in sorted(folder.rglob("*"))}


# ---- ingest ----------------------------------------------------------------------------------------------------------------


def test_ingest_says_what_each_file_is_and_which_days_it_holds(market: Market, tmp_path: Path) -> None:
    ran = done("ingest", market.folder, "--dry-run", "--json", "--lake", tmp_path / "lake")
    found = {one["path"]: one for one in ran.json}
    assert len(found) == 8
    for day in DAYS:
        one = found[str(archive(market.folder, "futures/um", day))]
        told = {name: one[name] for name in ("outcome", "source", "exchange", "dataset", "symbol", "period", "days", "problem")}
        assert told == {
            "outcome": "new",
            "source": "binance_vision",
            "exchange": "binance-futures",
            "dataset": "trades",
            "symbol": "BTCUSDT",
            "period": date(day),
            "days": {"trades of binance-futures:BTCUSDT": [date(day)]},
            "problem": None,
        }
    assert found[str(archive(market.folder, "spot", 0))]["rows"] == 120
    assert found[str(market.folder / "usdm.json")]["outcome"] == "instruments"
    assert list(tmp_path.iterdir()) == []


def test_ingest_knows_what_the_lake_has(copy: Path, market: Market, tmp_path: Path) -> None:
    corrected = write_zip(archive(tmp_path, "spot", 0), [row.line(spot=True) for row in day_of_rows(0, 50, 500, seed=1)])
    fresh = write_zip(archive(tmp_path, "futures/um", 5), [PERP_HEADER, *(row.line(spot=False) for row in day_of_rows(5, 9, 1, seed=5))])
    before = everything(copy)
    ran = done("ingest", archive(market.folder, "spot", 1), corrected, fresh, "--dry-run", "--json", "--lake", copy)
    assert [(one["outcome"], one["rows"]) for one in ran.json] == [("unchanged", 120), ("replaces", 50), ("new", 9)]
    assert everything(copy) == before


def test_ingest_as_text(market: Market, tmp_path: Path) -> None:
    out = done("ingest", market.folder, "--dry-run", "--lake", tmp_path / "lake").out
    assert "8 files: 6 new, 2 instruments; nothing was written" in out
    assert "binance_vision: trades of binance-spot:BTCUSDT" in out


def test_a_list_of_instruments_explains_the_files_behind_it(tmp_path: Path) -> None:
    """The symbol is known by the list alone, which the dry run reads first as the ingest would."""
    name = "ODDLYNAMED"
    text = exchange_info(tmp_path / "a.json", market="spot", server_us=MAY_1, tick="0.01").read_text(encoding="utf-8")
    (tmp_path / "a.json").write_text(text.replace('"BTCUSDT"', f'"{name}"').replace('"BTC"', '"ODDLY"').replace('"USDT"', '"NAMED"'))
    lines = [row.line(spot=True) for row in day_of_rows(0, 5, 1, seed=1)]
    path = write_zip(tmp_path / f"data/spot/daily/trades/{name}/{name}-trades-2024-05-01.zip", lines)
    place = ("--lake", tmp_path / "lake")
    alone, together = run("ingest", path, "--dry-run", *place), done("ingest", tmp_path / "a.json", path, "--dry-run", "--json", *place)
    assert alone.code == 3
    assert "could not be read back" in alone.err
    assert [one["outcome"] for one in together.json] == ["instruments", "new"]
    assert not (tmp_path / "lake").exists()
    assert run("ingest", path, *place).code == 3
    done("ingest", tmp_path / "a.json", *place)
    assert done("ingest", path, "--json", *place).json[0]["rows_landed"] == 5


def a_bad_price(folder: Path) -> Path:
    lines = [row.line(spot=False) for row in day_of_rows(4, 5, 1, seed=4)]
    lines[3] = lines[3].replace(lines[3].split(",")[1], "free", 1)
    return write_zip(archive(folder, "futures/um", 4), [PERP_HEADER, *lines])


def truncated(folder: Path) -> Path:
    path = a_bad_price(folder)
    path.with_name(f"{path.name}.CHECKSUM").unlink()
    path.write_bytes(path.read_bytes()[:60])
    return path


def unknown(folder: Path) -> Path:
    path = folder / "my prices.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "make", [a_bad_price, truncated, unknown, lambda folder: folder / "absent.zip"], ids=["row", "file", "unknown", "absent"]
)
def test_a_dry_run_exits_as_the_ingest_would(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path, place = make(tmp_path), ("--json", "--lake", tmp_path / "lake")
    tried, made = run("ingest", path, "--dry-run", *place), run("ingest", path, *place)
    assert (tried.code, made.code) == (3, 3)
    if make is a_bad_price:
        assert (
            (tried.json[0]["rows"], tried.json[0]["rows_rejected"])
            == (4, 1)
            == (made.json[0]["rows_landed"], made.json[0]["rows_quarantined"])
        )
        assert tried.error["where"] == made.error["where"] == f"{path}, line 5, column price"
    else:
        assert tried.error == made.error
        assert tried.json[0]["outcome"] == made.json[0]["outcome"]


def test_a_dry_run_refuses_a_folder_that_is_no_lake(market: Market, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    ran = run("ingest", archive(market.folder, "spot", 0), "--dry-run", "--lake", tmp_path)
    assert (ran.code, "not a lake" in ran.err) == (2, True)


def test_an_unknown_file_is_answered_with_a_command_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint's command line, with the mapping that the help shows, brings such a table in."""
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "my fills.csv"
    table.write_text("id,time,price,qty,side\n1,1714557600000,60000.5,0.25,sell\n", encoding="utf-8")
    refused = run("ingest", table, "--lake", "lake")
    hint = next(line for line in refused.err.splitlines() if "hint:" in line)
    assert f"`pointline ingest '{table}' --mapping mapping.toml`" in hint
    shown = done("ingest", "--help").out.split("mapping is:\n\n")[1].split("\n\n")[0]
    Path("mapping.toml").write_text("\n".join(line.strip() for line in shown.splitlines()), encoding="utf-8")
    landed = done("ingest", table, "--mapping", "mapping.toml", "--lake", "lake", "--json").json
    assert [(one["outcome"], one["rows_landed"]) for one in landed] == [("landed", 1)]


# ---- maintain and repair ---------------------------------------------------------------------------------------------------


@pytest.fixture
def replaced(copy: Path, tmp_path: Path) -> Path:
    """A lake one of whose files was replaced."""
    corrected = write_zip(archive(tmp_path / "new", "spot", 0), [row.line(spot=True) for row in day_of_rows(0, 50, 500, seed=1)])
    done("ingest", corrected, "--lake", copy)
    return copy


def test_maintain_says_what_it_would_remove(replaced: Path) -> None:
    before = everything(replaced)
    would = {size["table"]: size for size in done("maintain", "--grace", "0s", "--dry-run", "--json", "--lake", replaced).json}
    assert everything(replaced) == before
    assert "would remove" in done("maintain", "--grace", "0s", "--dry-run", "--lake", replaced).out
    assert done("maintain", "--grace", "1h", "--dry-run", "--json", "--lake", replaced).json[-1]["removed_files"] == 0
    did = {size["table"]: size for size in done("maintain", "--grace", "0s", "--json", "--lake", replaced).json}
    assert would == did
    assert would["trades"]["removed_files"] == 1


def damage(lake: Path) -> None:
    (path,) = open_lake(lake).partition_paths("trades", "binance-spot", "BTCUSDT", "2024-05-01")
    path.write_bytes(path.read_bytes()[:-9])


def test_repair_says_which_files_it_would_read_again(copy: Path, market: Market) -> None:
    damage(copy)
    before = everything(copy)
    wanted = archive(market.folder, "spot", 0)
    plan = done("repair", "--dry-run", "--json", "--lake", copy).json
    assert (plan["rereads"], plan["missing"], plan["unknown"]) == ([str(wanted)], [], None)
    assert [problem["kind"] for problem in plan["found"]["problems"]] == ["data"]
    assert f"would read again: {wanted}" in done("repair", "--dry-run", "--lake", copy).out.replace("\n", "")
    assert everything(copy) == before
    assert [one["path"] for one in done("repair", "--json", "--lake", copy).json["reread"]] == [str(wanted)]
    assert done("repair", "--dry-run", "--json", "--lake", copy).json["found"]["problems"] == []


def test_repair_says_which_files_are_not_there(tmp_path: Path) -> None:
    path = write_zip(archive(tmp_path, "spot", 0), [row.line(spot=True) for row in day_of_rows(0, 50, 500, seed=1)])
    done("ingest", path, "--lake", tmp_path / "lake")
    damage(tmp_path / "lake")
    moved = path.rename(tmp_path / path.name)
    ran = run("repair", "--dry-run", "--json", "--lake", tmp_path / "lake")
    assert ran.code == 1
    assert ran.error["value"].startswith(path.name)
    assert "--archives" in ran.error["hint"]
    found = done("repair", "--dry-run", "--json", "--archives", tmp_path, "--lake", tmp_path / "lake").json
    assert found["rereads"] == [str(moved)]


# ---- findings of the catalog -----------------------------------------------------------------------------------------------


def test_the_catalog_fails_on_what_is_named(lake: Path) -> None:
    ran = run("catalog", "--fail-on", "gaps", "--lake", lake)
    assert ran.code == 1
    assert "trades of binance-futures:BTCUSDT: 1 day missing: 2024-05-03" in ran.out
    assert ran.err == (
        "error: the lake has gaps:\n"
        "  gaps: trades of binance-futures:BTCUSDT: 1 day missing: 2024-05-03\n"
        "  gaps: trades of binance-spot:BTCUSDT: 1 day missing: 2024-05-03\n"
        f"  where:    {lake}\n"
        "  expected: none of gaps (--fail-on)\n"
        "  hint:     ingest the files that lack, or corrected ones\n"
    )
    quiet = run("catalog", "-q", "--fail-on", "gaps, missing,quarantine", "--lake", lake)
    assert (quiet.code, quiet.out) == (1, "")
    assert quiet.err.startswith("error: the lake has gaps and missing data:\n")
    assert "  missing: trades of binance-spot:BTCUSDT: 1,260 missing ids\n" in quiet.err
    assert "quarantine:" not in quiet.err
    assert done("catalog", "-q", "--fail-on", "quarantine", "--lake", lake).out == ""


def test_findings_as_json(lake: Path) -> None:
    ran = run("catalog", "--json", "--fail-on", "gaps,missing", "--symbol", "BTCUSDT", "--exchange", "binance-spot", "--lake", lake)
    assert ran.code == 1
    assert [row["exchange"] for row in ran.json["instruments"]] == ["binance-spot"]
    assert ran.error["what"] == "the lake has gaps and missing data"
    assert ran.error["value"][0] == "gaps: trades of binance-spot:BTCUSDT: 1 day missing: 2024-05-03"
    assert all(text.startswith(("gaps: ", "missing: ")) for text in ran.error["value"])


def test_quarantined_rows_are_a_finding(copy: Path, tmp_path: Path) -> None:
    assert run("ingest", a_bad_price(tmp_path), "--lake", copy).code == 3
    ran = run("catalog", "--quarantine", "--fail-on", "quarantine", "--lake", copy)
    assert ran.code == 1
    assert "1 row set aside" in ran.out
    assert "  quarantine: quarantined 1 x cannot be read as a number\n" in ran.err


@pytest.mark.parametrize("text", ["gap", "", "gaps;missing"])
def test_an_unknown_finding(lake: Path, text: str) -> None:
    ran = run("catalog", "--fail-on", text, "--lake", lake)
    assert (ran.code, "there is no such finding" in ran.err, f"value:    '{text}'" in ran.err) == (2, True, True)
    assert "expected: of gaps, missing, quarantine one or more, with commas" in ran.err


def test_contents_see_what_a_dry_run_must_not_do(copy: Path) -> None:
    """The check of these tests finds a change."""
    before, seen = everything(copy), contents(copy)
    os.utime(copy / "pointline.json")
    assert everything(copy) != before
    assert contents(copy) == seen
    assert json.loads((copy / "pointline.json").read_text(encoding="utf-8")) == {"format_version": 2}

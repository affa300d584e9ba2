"""The entries of the archive families, and what a new archive takes: one module and one entry."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.contract.suite import Case, hold
from tests.lake.archives import ms
from typer.testing import CliRunner

from pointline import schema
from pointline.cli import app
from pointline.errors import ConfigError, SourceError
from pointline.ingest.repair import repair
from pointline.lake import open_lake
from pointline.lake.verify import verify
from pointline.research import query
from pointline.sources import families
from pointline.sources.base import RANKS, Batch, Hints, Identity
from pointline.sources.checks import Check, rejected, split_rows
from pointline.sources.families import FAMILIES, Family, all_sources, archive_suffixes, family
from pointline.sources.inflate import open_archive
from pointline.sources.text_lines import number_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent


# ------------------------------------------------------------------------------------------------------------- the entries


@pytest.mark.parametrize("one", FAMILIES, ids=lambda one: one.name)
def test_an_entry_leads_to_its_parser(one: Family) -> None:
    assert one.source().name == one.name
    assert all(suffix.startswith(".") for suffix in one.suffixes)


def test_instrument_lists_are_asked_first_and_always() -> None:
    assert [source.name for source in all_sources()] == [one.name for one in FAMILIES]
    assert [one.name for one in FAMILIES][:2] == ["exchange_info", "table"]
    assert [source.name for source in all_sources("recorded")] == ["exchange_info", "recorded"]
    assert [source.name for source in all_sources("exchange_info")] == ["exchange_info"]


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="no such source") as caught:
        all_sources("my_archive")
    assert str(caught.value.expected).startswith("exchange_info, table, ")
    assert str(caught.value.expected).endswith(f" or {FAMILIES[-1].name}")


def test_entries_are_read_without_importing_a_parser() -> None:
    """The help of the command line names all sources, and must not load what reads them."""
    script = "import sys; from pointline.sources.families import source_names; source_names(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {"polars", "pointline.sources.base"} & set(done.stdout.split()) == set()


# ------------------------------------------------------------------------------------------------------------ a new archive


class TickLines:
    """An archive invented here: ``trades of SYMBOL/DATE.tick`` with lines of milliseconds, price, quantity and b or s, blanks between."""

    name = "tick_lines"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        found = re.fullmatch(r"trades of (\w+)", path.parent.name)
        if path.suffix != ".tick" or (found is None and hints.symbol is None):
            return None
        symbol = hints.symbol or (found[1] if found is not None else "")
        return Identity(self.name, hints.exchange or "bybit-spot", "", "trades", symbol, hints.period or path.stem, kind="trades")

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        with open_archive(path) as archive:
            lines = number_lines(archive.read())
        lines = lines.filter(pl.col("raw").str.strip_chars() != "")
        if lines.is_empty():
            raise SourceError("the file is empty", where=str(path))
        fields = pl.col("raw").str.strip_chars().str.split(" ").list
        rows = lines.with_columns(
            ts_event_us=fields.get(0, null_on_oob=True).cast(pl.Int64, strict=False) * 1000,
            price=fields.get(1, null_on_oob=True).cast(pl.Float64, strict=False),
            qty=fields.get(2, null_on_oob=True).cast(pl.Float64, strict=False),
            side=fields.get(3, null_on_oob=True),
        )
        checks = [
            Check(pl.col(name) > 0, name, fields.get(at, null_on_oob=True), "must be above zero") for at, name in ((1, "price"), (2, "qty"))
        ]
        checks.append(Check(pl.col("side").is_in(["b", "s"]), "side", pl.col("side"), "is neither b nor s"))
        accepted, rejects = split_rows(rows, checks)
        parsed = schema.TRADES.parsed
        frame = accepted.with_columns(ts_local_us=pl.col("ts_event_us") + hints.latency_us, side=pl.col("side") == "s").select(
            (pl.col(name) if name in (*accepted.columns, "ts_local_us") else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in parsed.items()
        )
        yield Batch("trades", identity.exchange, identity.symbol, frame, rank=RANKS["daily"], rejects=rejects)


ENTRY = Family(
    name="tick_lines",
    parser=f"{__name__}:TickLines",
    recognised_by="folder and file name",
    tables="`trades`",
    suffixes=(".tick",),
    by_path=True,
)
LINES = (f"{ms('2024-05-01 09:00:00')} 60000.5 0.25 b", f"{ms('2024-05-01 09:00:01')} 60000.25 1 s")


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, ENTRY))


def command(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.usefixtures("entered")
def test_a_new_archive_is_ingested_listed_and_read(tmp_path: Path) -> None:
    path = tmp_path / "in" / "trades of BTCUSDT" / "2024-05-01.tick"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{line}\n" for line in LINES))
    lake = tmp_path / "lake"
    (report,) = json.loads(command("ingest", tmp_path / "in", "--lake", lake, "--json"))
    assert (report["outcome"], report["rows_landed"], report["kinds"]) == ("landed", 2, ["trades"])
    (entry,) = json.loads(command("catalog", "--lake", lake, "--json"))["instruments"]
    assert (entry["kind"], entry["exchange"], entry["symbol"], entry["rows"]) == ("trades", "bybit-spot", "BTCUSDT", 2)
    trades = query.trades("bybit-spot", "BTCUSDT", "2024-05-01", "2024-05-02", lake=lake)
    assert trades.select("ts_event_us", "price", "qty", "side").rows() == [
        (ms("2024-05-01 09:00:00") * 1000, 60000.5, 0.25, 0),
        (ms("2024-05-01 09:00:01") * 1000, 60000.25, 1.0, 1),
    ]
    (again,) = json.loads(command("ingest", path, "--lake", lake, "--source", "tick_lines", "--json"))
    assert again["outcome"] == "unchanged"


@pytest.mark.usefixtures("entered")
def test_a_moved_file_of_a_new_archive_repairs_the_lake(tmp_path: Path) -> None:
    """Its entry says that the path told what it was; the manifest tells it now."""
    path = tmp_path / "in" / "trades of BTCUSDT" / "2024-05-01.tick"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{line}\n" for line in LINES))
    command("ingest", path, "--lake", tmp_path / "lake")
    lake = open_lake(tmp_path / "lake")
    (data,) = (lake.root / "trades").rglob("part-*.parquet")
    content = data.read_bytes()
    data.unlink()
    moved = path.rename(tmp_path / "2024-05-01.tick")
    done = repair(lake, all_sources, [moved.parent])
    assert [report.outcome for report in done.reread] == ["landed"]
    assert verify(open_lake(lake.root)).problems == []
    assert data.read_bytes() == content


@pytest.mark.usefixtures("entered")
def test_the_contract_is_held_against_a_new_archive(tmp_path: Path) -> None:
    at = [int(line.split()[0]) * 1000 for line in LINES]
    case = Case(
        source="tick_lines",
        place="trades of BTCUSDT/2024-05-01",
        lines=LINES,
        bad=(LINES[0].replace("60000.5", "6o"), "price", "6o"),
        kind="trades",
        exchange="bybit-spot",
        symbol="BTCUSDT",
        period="2024-05-01",
        expected=tuple(
            {"ts_local_us": us, "ts_event_us": us, "trade_id": None, "price": price, "qty": qty, "side": side}
            for us, price, qty, side in ((at[0], 60000.5, 0.25, False), (at[1], 60000.25, 1.0, True))
        ),
        packings=(".tick",),
    )
    hold(tmp_path / "right", case)
    with pytest.raises(AssertionError):
        hold(tmp_path / "wrong", Case(**{**vars(case), "expected": case.expected[::-1]}))


@pytest.mark.usefixtures("entered")
def test_an_entry_is_told_wherever_sources_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        family("my_archive")
    assert str(caught.value.expected).endswith(f"{FAMILIES[-1].name} or tick_lines")
    assert ".tick" in archive_suffixes()
    (tmp_path / "holiday.tick").write_text("a")
    done = CliRunner().invoke(app, ["ingest", str(tmp_path / "holiday.tick"), "--lake", str(tmp_path / "lake")])
    assert done.exit_code == 3
    assert f"{FAMILIES[-1].name}, tick_lines by its path, name or content" in done.output


def test_help_names_every_source() -> None:
    text = " ".join(command("ingest", "--help").split())
    assert all(one.name in text for one in FAMILIES)


def test_rejects_have_their_columns_without_a_row() -> None:
    assert rejected().columns == ["line", "column", "value", "reason", "raw", "fatal"]

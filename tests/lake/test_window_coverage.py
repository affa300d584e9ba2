"""What a comparison says of a window that is covered in part, and which day an automatic threshold is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.archives import lake_of

import pointline
from pointline.bars.stretches import venue_of
from pointline.bars.threshold import resolve_rule
from pointline.clock import DAY_US, MINUTE_US, date_text, to_us
from pointline.errors import ConfigError
from pointline.lake.store import PartitionFile
from pointline.lake.window_coverage import WindowCoverage, uneven_days, window_coverage
from pointline.report.tables import summary_view
from pointline.research.spines import TradeBarConfig
from pointline.schema import QUARANTINE_SCHEMA
from pointline.studies.figures import advice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointline.lake.store import Lake

PERP, SPOT = ("binance-futures", "BTCUSDT"), ("binance-spot", "BTCUSDT")
FIRST = to_us("2024-05-01")
WHOLE, ENDS_EARLY, BEGINS_LATE = range(1_440), range(980), range(700, 1_440)


def day_of(number: int, minutes: range) -> list[tuple[int, str, str, bool]]:
    return [(FIRST + number * DAY_US + n * MINUTE_US, "60000", "1", bool(n % 2)) for n in minutes]


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Three days; the spot's second ends at 16:19, the perp's third begins at 11:40."""
    perp = day_of(0, WHOLE) + day_of(1, WHOLE) + day_of(2, BEGINS_LATE)
    return lake_of(tmp_path_factory.mktemp("parts"), {PERP: perp, SPOT: day_of(0, WHOLE) + day_of(1, ENDS_EARLY) + day_of(2, WHOLE)})


@pytest.fixture
def lake(three_days: Lake, at_store: Callable[[Lake], Lake]) -> Lake:
    """The same in either store."""
    return at_store(three_days)


def study_of(lake: Lake, start: str, end: str) -> pointline.Study:
    return pointline.compare("binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start=start, end=end, bars=TradeBarConfig(100), lake=lake)


def test_each_part_of_a_day_is_noted_with_its_share(lake: Lake) -> None:
    study = study_of(lake, "2024-05-01", "2024-05-04")
    assert study.notes == (
        "1 of the window's days are covered in part by perp trades: 2024-05-03 to 51 %, begins at 11:40",
        "1 of the window's days are covered in part by spot trades: 2024-05-02 to 68 %, ends at 16:19",
    )
    assert study.summary["advice"] == "no advice: on 2 days of the window the two sides do not cover the same whole day"
    spot = study.summary["coverage"]["spot"]
    assert spot["part_days"] == [{"date": "2024-05-02", "covered_share": pytest.approx(979 / 1_440), "what": "ends at 16:19"}]
    assert spot["share"] == pytest.approx((2 * 1_440 + 979) / (3 * 1_440))


@pytest.mark.parametrize(
    ("start", "end", "whole"),
    [
        ("2024-05-01", "2024-05-02", True),
        ("2024-05-02", "2024-05-02 16:00", True),
        ("2024-05-02", "2024-05-02 17:00", False),
        ("2024-05-03 12:00", "2024-05-04", True),
    ],
)
def test_only_what_lies_inside_the_window_counts(lake: Lake, start: str, end: str, whole: bool) -> None:
    study = study_of(lake, start, end)
    assert (study.notes == ()) == whole
    assert study.summary["advice"].startswith("no advice") != whole


def test_a_day_that_one_side_lacks_gives_no_advice_either() -> None:
    def side(missing: list[int], part: list[int]) -> WindowCoverage:
        return WindowCoverage(1.0, missing, [(day, 0.5, "ends at 12:00") for day in part], 0, 0, 0)

    assert uneven_days(side([1, 2], []), side([2], [])) == [1]
    assert uneven_days(side([], [3]), side([], [4])) == [3, 4]
    assert uneven_days(side([2], []), side([2], [])) == []
    assert advice(7.0) == "between 5 and 20: a perp-driven spine makes sense"
    assert advice(7.0, [FIRST]).startswith("no advice: on 2024-05-01 ")


def test_flagged_and_quarantined_rows_of_the_window_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lake_of(tmp_path, {PERP: day_of(0, WHOLE) + day_of(1, WHOLE), SPOT: day_of(0, WHOLE) + day_of(1, WHOLE)})
    feeds = {file.start_us: file.footer["feeds"][0] for file in lake.files("trades", *SPOT)}
    own = feeds[FIRST]

    def rows(key: str, sha256: str, count: int, symbol: str = "BTCUSDT") -> list[dict[str, Any]]:
        row = dict.fromkeys(QUARANTINE_SCHEMA) | {"key": key, "sha256": sha256, "exchange": SPOT[0], "symbol": symbol, "kind": "trades"}
        return [row] * count

    later = own["key"].replace("2024-05-01", "2024-05-02")
    refused = own["key"].replace("2024-05-01", "2024-05")
    aside = [
        *rows(own["key"], own["sha256"], 3),
        *rows(own["key"], "an earlier version of the file", 100),
        *rows(later, feeds[FIRST + DAY_US]["sha256"], 7),
        *rows(refused, "a file of the month of which no row landed", 20),
        *rows(own["key"], own["sha256"], 1_000, symbol="ETHUSDT"),
    ]
    stored_rows, quarantine = lake.rows, pl.DataFrame(aside, schema=QUARANTINE_SCHEMA, orient="row")
    monkeypatch.setattr(lake, "rows", lambda name, *columns: quarantine if name == "quarantine" else stored_rows(name, *columns))
    stored = PartitionFile.totals.fget  # type: ignore[attr-defined]
    flagged = {PERP[0]: 2, SPOT[0]: 0}
    monkeypatch.setattr(PartitionFile, "totals", property(lambda self: {**stored(self), "off_book": flagged[self.exchange]}))
    study = study_of(lake, "2024-05-01", "2024-05-02")
    assert study.notes == (
        "perp trades of the window's days: 2 flagged as off-book and not in the bars",
        "spot trades of the window's days: 23 quarantined",
    )
    assert study.summary["coverage"]["spot"]["quarantined"] == 23
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as shown:
        console.print(summary_view(study.summary, title="t", rule="r", notes=()))
    assert "perp covered" in shown.get()
    assert "100 % of the window; 2 flagged as off-book, 0 quarantined, 0 missing ids" in shown.get()


def test_days_before_and_after_the_window_tell_of_its_edges(tmp_path: Path) -> None:
    """A quiet evening is no hole where the next day's ids go on."""
    quiet = day_of(0, range(600)) + day_of(1, WHOLE)
    lake = lake_of(tmp_path, {PERP: quiet})
    perp = lake.registry().find(*PERP, FIRST)
    files = venue_of(lake, perp, FIRST, FIRST + DAY_US).files
    assert window_coverage(lake, perp, files, FIRST, FIRST + DAY_US).part_days[0][2] == "ends at 09:59"  # ids begin anew each day
    for path in (tmp_path / "archives").rglob("*2024-05-02.zip"):
        path.unlink()
    again = tmp_path / "again/data/futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-02.csv"
    again.parent.mkdir(parents=True)
    again.write_text("".join(f"{601 + n},60000,1,0,{us},true\n" for n, (us, *_) in enumerate(day_of(1, WHOLE))))
    from tests.archives import lake_from

    lake = lake_from(tmp_path / "again", [*(tmp_path / "archives").rglob("*.zip"), again])
    files = venue_of(lake, perp, FIRST, FIRST + DAY_US).files
    assert window_coverage(lake, perp, files, FIRST, FIRST + DAY_US).share == 1.0


@pytest.mark.parametrize(
    ("days", "chosen", "where"),
    [  # the window is the last two of five days; W whole, E ends early, B begins late, - absent
        ("WWWWW", 2, "the day before the window"),
        ("WWEWW", 1, "the last whole day before the window"),
        ("W-BEE", 0, "the last whole day before the window"),
        ("W--WE", 0, "the last whole day before the window"),
        ("EB-WE", 3, "the window's first day"),
        ("---EW", 4, "the window's first whole day"),
        ("---W-", 3, "the window's first day"),
        ("EBEBE", None, ""),
        ("---E-", None, ""),
    ],
)
def test_an_automatic_threshold_is_made_from_a_whole_day(tmp_path: Path, days: str, chosen: int | None, where: str) -> None:
    minutes = {"W": WHOLE, "E": ENDS_EARLY, "B": BEGINS_LATE}
    lake = lake_of(tmp_path, {PERP: [row for n, day in enumerate(days) if day in minutes for row in day_of(n, minutes[day])]})
    perp = lake.registry().find(*PERP, FIRST)
    start_us, end_us = FIRST + 3 * DAY_US, FIRST + 5 * DAY_US
    assert resolve_rule("auto:time", lake, perp, start_us, end_us)[1] == "auto: one minute"
    if chosen is None:
        with pytest.raises(ConfigError, match="covered whole") as caught:
            resolve_rule("auto", lake, perp, start_us, end_us)
        assert "give a threshold" in str(caught.value)
        return
    rule, note = resolve_rule("auto:trades", lake, perp, start_us, end_us)
    assert rule == TradeBarConfig(2)  # 0.2 % of 1,440 trades, rounded; of a part it would be another number or another day
    assert note.endswith(f"of the perp's 1,440 trades on {date_text(FIRST + chosen * DAY_US)}, {where}")

"""A lake's state is a function of its current files: whatever came before, in whatever order, and wherever a run was cut off.

The machine ingests overlapping daily and monthly archives, aggregated trades and recordings across midnights, corrects them, gives them
another assumed latency, and cuts runs off. After every step the rows that serve equal those of a plain model, and the data files have
the names (so the bytes) of a lake that was made from the current files alone. `test_bucket_state` runs the same machine over a bucket.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pointline.clock import DAY_US, date_text, to_us
from pointline.ingest.run import ingest
from pointline.lake import journal, open_lake
from pointline.lake.partition import file_id
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pointline.lake import Lake

FIRST_DAY = "2024-05-01"
START = to_us(FIRST_DAY)
DAYS = 3
FIRED: Counter[str] = Counter()  # how often each rule decided something, over all runs


@dataclass(frozen=True)
class Trade:
    """One trade of the market, as the exchange knows it."""

    number: int
    us: int
    price: int
    qty: int
    sold: bool
    aggregate: int  # number of the aggregated trade that it belongs to


def market() -> list[Trade]:
    """Three days with most trades close to the midnights; runs of one to three trades of one millisecond make an aggregated trade."""
    moments = []
    for day in range(DAYS + 1):
        midnight = START + day * DAY_US
        moments += [midnight + offset * 1_000 for offset in (-2_000, -900, -40, -1, 0, 3, 700, 2_500)]
    moments += [START + day * DAY_US + 43_200_000_000 for day in range(DAYS)]
    trades: list[Trade] = []
    for aggregate, us in enumerate(sorted(m for m in moments if START <= m < START + DAYS * DAY_US), start=500):
        for part in range(1 + aggregate % 3):
            trades.append(Trade(1_000 + len(trades), us, 600_000 + aggregate % 7, 1 + part, bool(aggregate % 2), aggregate))
    return trades


MARKET = market()
NUMBERS = [trade.number for trade in MARKET]


@dataclass(frozen=True)
class File:
    """One version of an archive file.

    Attributes:
        kind: daily | monthly | daily-agg | monthly-agg | recorded | recorded-agg
        day: of daily files.
        dropped: trades that it lacks (of aggregated files, aggregates that hold one of these).
        stray: rows of the day after that stand at its end.
        price_shift: added to its prices, a wrong version.
        delay_us: of recordings, from the trade to its receipt; else the assumed latency.
        span: of recordings, the first and the last place in the market.
    """

    kind: str
    day: int = 0
    dropped: frozenset[int] = frozenset()
    stray: int = 0
    price_shift: int = 0
    delay_us: int = 0
    span: tuple[int, int] = (0, 0)

    @property
    def aggregated(self) -> bool:
        return self.kind.endswith("agg")

    @property
    def recorded(self) -> bool:
        return self.kind.startswith("recorded")

    @property
    def declared(self) -> tuple[int, int] | None:
        if self.recorded:
            return None
        if self.kind.startswith("daily"):
            return START + self.day * DAY_US, START + (self.day + 1) * DAY_US
        return START, to_us("2024-06-01")

    def groups(self) -> list[list[Trade]]:
        """What each row of the file adds up."""
        if self.recorded:
            held = MARKET[self.span[0] : self.span[1] + 1]
        else:
            low, high = self.declared or (0, 0)
            held = [t for t in MARKET if low <= t.us < high]
            held += [t for t in MARKET if t.us >= high][: self.stray]
        if not self.aggregated:
            return [[t] for t in held if t.number not in self.dropped]
        names = dict.fromkeys(t.aggregate for t in held)
        whole = [[t for t in MARKET if t.aggregate == name] for name in names]
        return [group for group in whole if not any(t.number in self.dropped for t in group)]


@dataclass(frozen=True)
class Row:
    """A row as the model sees it."""

    key: str
    line: int
    number: int
    first: int
    last: int
    price: int
    us: int
    local_us: int
    outside: bool
    rank: int
    aggregated: bool

    @property
    def date(self) -> str:
        return date_text(self.local_us)

    @property
    def preference(self) -> tuple[object, ...]:
        return (self.outside, self.rank, self.local_us, self.key, self.line)


def model_rows(key: str, file: File) -> list[Row]:
    rank = {"daily": 10, "monthly": 20, "recorded": 30}[file.kind.removesuffix("-agg")]
    rows = []
    for place, group in enumerate(file.groups()):
        one = group[0]
        outside = file.declared is not None and not file.declared[0] <= one.us < file.declared[1]
        number = one.aggregate if file.aggregated else one.number
        line = place + (1 if file.recorded else 2)
        rows.append(
            Row(
                *(key, line, number, one.number, group[-1].number, one.price + file.price_shift, one.us, one.us + file.delay_us),
                outside=outside,
                rank=rank,
                aggregated=file.aggregated,
            )
        )
    return rows


def serving(files: dict[str, File]) -> tuple[set[Row], set[Row]]:
    """The rows that serve and those in reserve, by plain loops over all files at once."""
    rows = [row for key, file in files.items() for row in model_rows(key, file)]
    best: dict[tuple[bool, int], Row] = {}
    for row in rows:
        rival = best.get((row.aggregated, row.number))
        if rival is None or row.preference < rival.preference:
            best[row.aggregated, row.number] = row
    for row in rows:
        winner = best[row.aggregated, row.number]
        if row is winner:
            continue
        FIRED["a stray row gave way"] += row.outside and not winner.outside
        FIRED["a monthly file gave way to a daily one"] += row.rank == 20 and winner.rank == 10
        FIRED["a recording gave way to an archive"] += row.rank == 30 and winner.rank < 30
        FIRED["the same trade stood on two days"] += row.date != winner.date
        FIRED["files contradicted each other"] += row.price != winner.price
    chosen = set(best.values())
    singles = {row.number: row for row in chosen if not row.aggregated}
    for row in [row for row in chosen if row.aggregated]:
        parts = [singles[number] for number in range(row.first, row.last + 1) if number in singles]
        if len(parts) == row.last - row.first + 1:
            FIRED["single trades went before an aggregated one"] += 1
            chosen.discard(row)
        else:
            FIRED["an aggregated trade filled a hole"] += bool(singles)
            FIRED["an aggregated trade displaced single ones"] += bool(parts)
            chosen -= set(parts)
    return chosen, set(rows) - chosen


def write(folder: Path, file: File) -> Path:
    """The file on disk, in the archive's own layout."""
    if file.recorded:
        lines = [recorded_line(file, group) for group in file.groups()]
        path = folder / "binance_usdm_btcusdt.dat"
    else:
        dataset = "aggTrades" if file.aggregated else "trades"
        period = "2024-05" if file.kind.startswith("monthly") else date_text(START + file.day * DAY_US)
        span = file.kind.split("-")[0]
        path = folder / f"data/futures/um/{span}/{dataset}/BTCUSDT/BTCUSDT-{dataset}-{period}.csv"
        header = (
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
            if file.aggregated
            else "id,price,qty,quote_qty,time,is_buyer_maker"
        )
        lines = [header, *(archive_line(file, group) for group in file.groups())]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def archive_line(file: File, group: list[Trade]) -> str:
    one, price = group[0], (group[0].price + file.price_shift) / 10
    qty, maker = sum(t.qty for t in group) / 1000, str(one.sold).lower()
    if file.aggregated:
        return f"{one.aggregate},{price},{qty},{one.number},{group[-1].number},{one.us // 1000},{maker}"
    return f"{one.number},{price},{qty},{price * qty:.8f},{one.us // 1000},{maker}"


def recorded_line(file: File, group: list[Trade]) -> str:
    one, qty = group[0], sum(t.qty for t in group) / 1000
    message = {"E": one.us // 1000, "T": one.us // 1000, "s": "BTCUSDT", "p": str((one.price + file.price_shift) / 10), "q": str(qty)}
    message |= {"m": one.sold}
    if file.aggregated:
        message |= {"e": "aggTrade", "a": one.aggregate, "f": one.number, "l": group[-1].number}
    else:
        message |= {"e": "trade", "t": one.number, "X": "MARKET"}
    return f"{one.us + file.delay_us} {json.dumps(message)}"


class CutOffError(Exception):
    """The process ends here."""


def cut_off_after(steps: int) -> Callable[[str], None]:
    """Counts the steps of a change and ends the process at one of them."""
    left = [steps]

    def step(_: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise CutOffError

    return step


def data_files(lake: Lake) -> list[str]:
    return sorted(
        file.path.relative_to(lake.root).as_posix()
        for kind in ("trades", "trades_reserve")
        for file in lake.files(kind, "binance-futures", "BTCUSDT")
    )


def stored(lake: Lake, kind: str) -> Iterator[tuple[str, int, int, float]]:
    for file in lake.files(kind, "binance-futures", "BTCUSDT"):
        rows = file.scan(["source_file", "source_row", "price_int", "price_decimals", "ts_local_us"]).collect()
        assert rows["ts_local_us"].is_sorted()
        assert file.totals["rows"] == rows.height == sum(feed["rows"] for feed in file.footer["feeds"])
        for source_file, line, price, decimals, _ in rows.iter_rows():
            yield date_text(file.start_us), source_file, line, price / 10**decimals


day = st.integers(0, DAYS - 1)
dropped = st.frozensets(st.sampled_from(NUMBERS), max_size=6)
shift = st.sampled_from([0, 0, 0, 5])
archives = st.builds(
    File,
    kind=st.sampled_from(["daily", "daily", "monthly", "daily-agg", "monthly-agg"]),
    day=day,
    dropped=dropped,
    stray=st.integers(0, 2),
    price_shift=shift,
    delay_us=st.sampled_from([0, 0, 20_000]),
)
recordings = st.builds(
    File,
    kind=st.sampled_from(["recorded", "recorded-agg"]),
    dropped=st.frozensets(st.sampled_from(NUMBERS), max_size=2),
    delay_us=st.sampled_from([1_000, 30_000, 1_500_000]),
    span=st.tuples(st.integers(0, len(MARKET) - 1), st.integers(0, len(MARKET) - 1)).map(lambda s: (min(s), max(s))),
    price_shift=shift,
)


class LakeMachine(RuleBasedStateMachine):
    """The steps that may come in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.current: dict[str, tuple[File, Path]] = {}
        self.count = 0
        self.place = self.new_place()
        open_lake(self.place, create=True)

    def new_place(self) -> Path | str:
        """Where the lake is."""
        return self.root / "lake"

    def teardown(self) -> None:
        self.folder.cleanup()

    def land(self, lake: Lake, file: File, path: Path) -> str:
        """Ingests one file; returns its key."""
        hints = Hints(latency_us=0 if file.recorded else file.delay_us)
        (report,) = ingest(lake, [path], sources=all_sources(), hints=hints)
        assert report.problem is None, report.problem
        counted = report.rows_landed + report.rows_flagged + report.duplicates + report.rows_superseded + report.rows_skipped
        if report.outcome != "unchanged":
            assert report.rows_read == counted == len(file.groups())
        return self.key(path)

    def key(self, path: Path) -> str:
        for source in all_sources():
            identity = source.recognise(path, Hints())
            if identity is not None:
                return identity.key(hashlib.sha256(path.read_bytes()).hexdigest())
        raise AssertionError(path)

    def new_path(self, file: File) -> Path:
        self.count += 1
        return write(self.root / f"version-{self.count}", file)

    @rule(file=st.one_of(archives, recordings))
    def ingest(self, file: File) -> None:
        if not file.groups():
            return
        path = self.new_path(file)
        key = self.land(open_lake(self.place), file, path)
        FIRED["a file was corrected"] += key in self.current and self.current[key][0] != file
        self.current[key] = (file, path)

    @precondition(lambda self: self.current)
    @rule(data=st.data())
    def correct_back(self, data: st.DataObject) -> None:
        """A whole version of an archive file takes the place of one that lacked rows, or the other way round."""
        key = data.draw(st.sampled_from(sorted(self.current)))
        file, _ = self.current[key]
        if not file.recorded:
            self.ingest(dataclasses.replace(file, dropped=data.draw(dropped), stray=0, price_shift=0))

    @precondition(lambda self: self.current)
    @rule(data=st.data())
    def ingest_again(self, data: st.DataObject) -> None:
        file, path = self.current[data.draw(st.sampled_from(sorted(self.current)))]
        before = data_files(open_lake(self.place))
        self.land(open_lake(self.place), file, path)
        assert data_files(open_lake(self.place)) == before

    @rule(file=st.one_of(archives, recordings), steps=st.integers(0, 8))
    def cut_off(self, file: File, steps: int) -> None:
        """The process ends somewhere inside a change; what comes next finds the lake before or after it."""
        if not file.groups():
            return
        path = self.new_path(file)
        lake = open_lake(self.place)
        with pytest.MonkeyPatch.context() as patch:
            step = cut_off_after(steps)
            for name in ("write_atomically", "place", "commit"):
                original = getattr(journal, name)

                def stepped(*args: object, _original: Callable[..., object] = original, _name: str = name, **options: object) -> object:
                    step(_name)
                    return _original(*args, **options)

                patch.setattr(journal, name, stepped)
            try:
                key = self.land(lake, file, path)
            except CutOffError:
                FIRED["a run was cut off before the journal"] += not journal.is_pending(lake)
                FIRED["a run was cut off after the journal"] += journal.is_pending(lake)
                if not journal.is_pending(lake):
                    return
                key = self.key(path)
        ingest(open_lake(self.place), [], sources=all_sources(), hints=Hints())  # the next writer finishes what was begun
        self.current[key] = (file, path)

    @invariant()
    def rows_equal_the_model(self) -> None:
        lake = open_lake(self.place)
        chosen, reserve = serving({key: file for key, (file, _) in self.current.items()})
        for kind, expected in (("trades", chosen), ("trades_reserve", reserve)):
            found = sorted(stored(lake, kind))
            assert found == sorted((row.date, file_id(row.key), row.line, row.price / 10) for row in expected), kind

    @invariant()
    def files_equal_those_of_a_lake_made_from_the_current_files(self) -> None:
        if len(self.current) < 2:
            return
        with tempfile.TemporaryDirectory() as folder:
            clean = open_lake(folder + "/lake", create=True)
            for key in sorted(self.current, reverse=True):
                self.land(clean, *self.current[key])
            assert data_files(clean) == data_files(open_lake(self.place))


def every_rule_in_turn(kind: type[LakeMachine] = LakeMachine) -> None:
    """A history in which each rule decides something, whatever is drawn afterwards."""
    machine = kind()
    hole = frozenset(NUMBERS[20:24])
    steps = (
        File("monthly", price_shift=5),
        File("daily", day=1, stray=2),
        File("daily", day=0, dropped=hole),
        File("daily-agg", day=1),
        File("recorded", span=(0, len(MARKET) - 1), delay_us=1_500_000),
        File("daily", day=1, delay_us=20_000),
        File("daily", day=0),
        File("monthly", dropped=frozenset(NUMBERS)),
    )
    try:
        for file in steps:
            machine.ingest(file)
            machine.rows_equal_the_model()
        machine.files_equal_those_of_a_lake_made_from_the_current_files()
    finally:
        machine.teardown()


def test_the_state_is_a_function_of_the_current_files() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    FIRED.clear()
    every_rule_in_turn()
    run_state_machine_as_test(LakeMachine, settings=settings(stateful_step_count=8, max_examples=settings().max_examples // 8))
    silent = [name for name in RULES if not FIRED[name]]
    assert silent == [], dict(FIRED)


RULES = (
    "a stray row gave way",
    "a monthly file gave way to a daily one",
    "a recording gave way to an archive",
    "the same trade stood on two days",
    "files contradicted each other",
    "single trades went before an aggregated one",
    "an aggregated trade filled a hole",
    "an aggregated trade displaced single ones",
    "a file was corrected",
    "a run was cut off before the journal",
    "a run was cut off after the journal",
)

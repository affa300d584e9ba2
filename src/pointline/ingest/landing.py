"""The rows of one archive file among those of the others: which partitions change, and what is in them afterwards."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.clock import DAY_US, SECOND_US, date_text, next_month, to_us
from pointline.ingest.checks import check_rows
from pointline.ingest.ordered import OrderedPartition
from pointline.ingest.spool import Slot
from pointline.ingest.union import Conflict, FeedRows, serve
from pointline.lake.content import content_name
from pointline.lake.delta_log import Change, NewFile
from pointline.lake.partition import Feed, encode, file_id, write_partition
from pointline.lake.paths import partition_folder
from pointline.lake.rows import decode_frame
from pointline.lake.store import PartitionFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pointline.ingest.checks import Checked
    from pointline.ingest.spool import Spool
    from pointline.lake.store import Lake
    from pointline.lake.totals import Totals

BORDER_US = SECOND_US
"""Rows that tell the same trade lie no further apart than this in the exchange's time."""


@dataclass
class Landed:
    """What landing one archive file comes to; nothing of it is live yet.

    Attributes:
        changes: by table.
        partitions: those that hold rows of the file, serving or in reserve.
        serving, flagged, reserve: its rows that serve and are not flagged, that serve and are flagged, and that do not serve.
        duplicates, out_of_order, missing_ids: counts of its own rows.
        displaced: rows of other files that served before and do not now.
        returned: rows of other files that did not serve before and do now.
        conflicts: contradictions with other files.
        rejects: rows that its own other rows contradict, by table, exchange and symbol.
    """

    changes: dict[str, Change] = field(default_factory=dict)
    partitions: list[str] = field(default_factory=list)
    serving: int = 0
    flagged: int = 0
    reserve: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    missing_ids: int = 0
    displaced: int = 0
    returned: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    rejects: list[tuple[str, str, str, pl.DataFrame]] = field(default_factory=list)


@dataclass(frozen=True)
class _Span:
    """The first and last time of a partition's rows on the exchange's clock, and whose rows they are."""

    low: int
    high: int
    keys: frozenset[str]

    @classmethod
    def joined(cls, spans: Iterable[_Span | None]) -> _Span | None:
        """The span of several; None of none."""
        known = [span for span in spans if span is not None]
        if not known:
            return None
        return cls(min(s.low for s in known), max(s.high for s in known), frozenset().union(*(s.keys for s in known)))


class Landing:
    """Lands one archive file.

    Args:
        lake: where to; it is not changed, only data files are written beside the live ones.
        spool: the file's rows.
        feed: the file.
        ranks: of the file's rows by table, exchange and symbol.
        clocks: by table.
        staging: folder of the lake in which new data files grow.
    """

    def __init__(
        self, lake: Lake, spool: Spool, feed: Feed, ranks: dict[tuple[str, str, str], int], clocks: dict[str, str], staging: Path
    ) -> None:
        self._lake = lake
        self._spool = spool
        self._feed = feed
        self._ranks = ranks
        self._clocks = clocks
        self._staging = staging
        self._numbers = itertools.count()
        self._own = set(spool.slots())
        self._live: dict[str, dict[Slot, PartitionFile]] = {}
        self._fresh: dict[Slot, FeedRows | None] = {}
        self.result = Landed()

    def run(self, before: Iterable[str]) -> Landed:
        """Decides and writes.

        Args:
            before: the partitions that hold rows of an earlier version of the file.

        Raises:
            LakeError: the disk is full.
            AmountOverflowError: an amount cannot be stored exactly.
        """
        touched = self._own | {Slot.of(name) for name in before}
        affected = sorted(touched | {other for slot in touched for other in self._linked(slot)})
        for done, slot in enumerate(affected, 1):
            self._decide(slot)
            later = affected[done:]
            wanted = {*later, *(other for slot in later[:1] for other in (_neighbour(slot, -1), _neighbour(slot, 1)))}
            self._fresh = {slot: part for slot, part in self._fresh.items() if slot in wanted}
        return self.result

    def _decide(self, slot: Slot) -> None:
        """One partition anew."""
        neighbours = self._linked(slot)
        others = (self._stored_span(slot, own=False), *(self._span(other) for other in neighbours))
        alone = all(span is None or span.keys == {self._feed.key} for span in others)
        if alone and slot in self._own:
            checked = self._spool.ordered(slot) if slot not in self._fresh else None
            if checked is not None:
                self._count_own(slot, checked)
                self._place_ordered(slot, checked)
                return
        here = [part for part in (self._own_part(slot), *self._stored_parts(slot)) if part is not None and part.rows.height]
        near = [] if alone else [part for other in neighbours for part in self._near(slot, other)]
        if not here:
            self._remove(slot)
            return
        served = serve(slot.kind, here, near)
        feeds = [part.feed for part in here]
        self.result.conflicts += served.conflicts
        for kind, rows in ((slot.kind, served.serving), (slot.kind + schema.RESERVE, served.reserve)):
            self._write(slot._replace(kind=kind), rows, feeds)

    def _own_part(self, slot: Slot) -> FeedRows | None:
        """The file's own rows of a partition, checked."""
        if slot not in self._own:
            return None
        if slot not in self._fresh:
            checked = self._spool.ordered(slot) or check_rows(self._spool.take(slot), slot.kind)
            self._count_own(slot, checked)
            feed = replace(self._feed, rank=self._ranks[slot[:3]], clock=self._clocks[slot.kind])
            self._fresh[slot] = FeedRows(feed, checked.frame) if checked.rows else None
        return self._fresh[slot]

    def _stored_parts(self, slot: Slot, rows: pl.Expr | None = None) -> Iterator[FeedRows]:
        """The other files' rows of a partition, serving or not."""
        frames: dict[str, list[pl.DataFrame]] = defaultdict(list)
        feeds: dict[str, Feed] = {}
        for file in self._files(slot):
            stored = file.scan() if rows is None else file.scan().filter(rows)
            parsed = decode_frame(stored.collect(), slot.kind)
            for entry in file.footer["feeds"]:
                feed = Feed.read(entry)
                if feed.key != self._feed.key:
                    feeds[feed.key] = replace(feed, rows=0)
                    frames[feed.key].append(parsed.filter(pl.col("source_file") == file_id(feed.key)))
        for key in sorted(frames):
            yield FeedRows(feeds[key], pl.concat(frames[key]).sort("ts_local_us", "source_row"))

    def _near(self, slot: Slot, other: Slot) -> Iterator[FeedRows]:
        """Rows of a neighbour that may tell the same as some of this partition's."""
        start, end = _bounds(slot)
        span = self._span(slot)
        event = pl.col("ts_event_us")
        if other.date < slot.date:
            close = event >= min(start, (start if span is None else span.low) - BORDER_US)
        else:
            close = event < max(end, (end if span is None else span.high + 1) + BORDER_US)
        own = self._own_part(other)
        if own is not None:
            yield FeedRows(own.feed, own.rows.filter(close))
        yield from self._stored_parts(other, close)

    def _linked(self, slot: Slot) -> list[Slot]:
        """The neighbours with rows that reach over the common border, on the exchange's clock, or that this partition's reach into."""
        start, end = _bounds(slot)
        here, before, after = (self._span(each) for each in (slot, _neighbour(slot, -1), _neighbour(slot, 1)))
        found = []
        if here is not None and before is not None and (before.high >= start or here.low < start):
            found.append(_neighbour(slot, -1))
        if here is not None and after is not None and (here.high >= end or after.low < end):
            found.append(_neighbour(slot, 1))
        return found

    def _span(self, slot: Slot) -> _Span | None:
        fresh = self._spool.events(slot)
        own = None if fresh is None else _Span(*fresh, frozenset({self._feed.key}))
        return _Span.joined([own, self._stored_span(slot, own=True)])

    def _stored_span(self, slot: Slot, *, own: bool) -> _Span | None:
        """The span of what is stored; without its own earlier version only where others have rows too."""
        spans = []
        for file in self._files(slot):
            keys = frozenset(entry["key"] for entry in file.footer["feeds"])
            if own or keys != {self._feed.key}:
                spans.append(_Span(file.totals["first_event_us"], file.totals["last_event_us"], keys if own else keys - {self._feed.key}))
        return _Span.joined(spans)

    def _files(self, slot: Slot) -> list[PartitionFile]:
        """The live files of a partition: of rows that serve, and of those in reserve."""
        kinds = (slot.kind, slot.kind + schema.RESERVE)
        return [file for kind in kinds if (file := self._live_of(kind).get(slot._replace(kind=kind))) is not None]

    def _live_of(self, kind: str) -> dict[Slot, PartitionFile]:
        if kind not in self._live:
            rows = self._lake.listing(kind)
            self._live[kind] = {
                Slot(kind, exchange, symbol, date): PartitionFile(self._lake.table_path(kind) / path, exchange, symbol, to_us(date), count)
                for path, exchange, symbol, date, count in rows.iter_rows()
            }
        return self._live[kind]

    def _count_own(self, slot: Slot, checked: Checked | OrderedPartition) -> None:
        self.result.duplicates += checked.duplicates
        self.result.out_of_order += checked.out_of_order
        if not isinstance(checked, OrderedPartition) and not checked.rejects.is_empty():
            self.result.rejects.append((*slot[:3], checked.rejects))

    def _place_ordered(self, slot: Slot, ordered: OrderedPartition) -> None:
        """A partition that is the file's alone and was written while it was read."""
        feed = replace(self._feed, rank=self._ranks[slot[:3]], clock=self._clocks[slot.kind], rows=ordered.rows)
        path, totals = ordered.finish([feed])
        self._replace_file(slot, path, totals, [feed])
        self._remove_file(slot._replace(kind=slot.kind + schema.RESERVE))

    def _write(self, slot: Slot, rows: pl.DataFrame, feeds: list[Feed]) -> None:
        """The rows of one table in a partition; without any the partition is no more."""
        if rows.is_empty():
            self._remove_file(slot)
            return
        counts = dict(rows.group_by("source_file").len().iter_rows())
        held = [replace(feed, rows=counts[file_id(feed.key)]) for feed in feeds if file_id(feed.key) in counts]
        held.sort(key=lambda feed: feed.key)
        path = self._staging / "decided.parquet"
        totals = write_partition(path, encode(rows, slot.kind), slot.kind, held)
        self._replace_file(slot, path, totals, held)

    def _remove(self, slot: Slot) -> None:
        for kind in (slot.kind, slot.kind + schema.RESERVE):
            self._remove_file(slot._replace(kind=kind))

    def _replace_file(self, slot: Slot, path: Path, totals: Totals, feeds: list[Feed]) -> None:
        """A partition's new file, which takes the name of its content."""
        self._count(slot, feeds, totals)
        name = content_name(path)
        staged = self._staging / f"{next(self._numbers)}-{name}"
        path.replace(staged)
        relative = f"{partition_folder(slot.exchange, slot.symbol, slot.date)}/{name}"
        live = self._live_of(slot.kind).get(slot)
        if live is not None and live.path == self._lake.table_path(slot.kind) / relative:
            return
        change = self.result.changes.setdefault(slot.kind, Change())
        where = staged.relative_to(self._lake.root).as_posix()
        change.added.append(NewFile(relative, _partition(slot), totals.rows, totals.bounds(), staged=where))
        if live is not None:
            change.removed.append(self._dead(slot, live))

    def _dead(self, slot: Slot, live: PartitionFile) -> NewFile:
        return NewFile(live.path.relative_to(self._lake.table_path(slot.kind)).as_posix(), _partition(slot), live.rows)

    def _remove_file(self, slot: Slot) -> None:
        live = self._live_of(slot.kind).get(slot)
        if live is not None:
            self._count(slot, [], None)
            self.result.changes.setdefault(slot.kind, Change()).removed.append(self._dead(slot, live))

    def _count(self, slot: Slot, feeds: list[Feed], totals: Totals | None) -> None:
        """The file's own rows, and what the others won or lost."""
        in_reserve = slot.kind.endswith(schema.RESERVE)
        now = {feed.key: feed.rows for feed in feeds}
        own = now.pop(self._feed.key, 0)
        if in_reserve:
            self.result.reserve += own
        else:
            live = self._live_of(slot.kind).get(slot)
            was = {} if live is None else {f["key"]: f["rows"] for f in live.footer["feeds"] if f["key"] != self._feed.key}
            for key in {*was, *now}:
                lost = was.get(key, 0) - now.get(key, 0)
                self.result.displaced += max(lost, 0)
                self.result.returned += max(-lost, 0)
            flagged = 0 if totals is None else totals.flagged_of(file_id(self._feed.key))
            self.result.serving += own - flagged
            self.result.flagged += flagged
            if totals is not None and own:
                self.result.missing_ids += totals.missing_ids
        if own:
            name = slot._replace(kind=slot.kind.removesuffix(schema.RESERVE)).text
            if name not in self.result.partitions:
                self.result.partitions.append(name)


def _partition(slot: Slot) -> dict[str, str]:
    return {"exchange": slot.exchange, "symbol": slot.symbol, "date": slot.date}


def _bounds(slot: Slot) -> tuple[int, int]:
    start = to_us(slot.date)
    return start, next_month(start) if schema.table(slot.kind).monthly else start + DAY_US


def _neighbour(slot: Slot, step: int) -> Slot:
    """The partition before (-1) or after (1)."""
    start, end = _bounds(slot)
    if step > 0:
        return slot._replace(date=date_text(end))
    before = date_text(start - 1)
    return slot._replace(date=f"{before[:7]}-01" if schema.table(slot.kind).monthly else before)

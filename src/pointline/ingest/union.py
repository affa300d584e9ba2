"""Which rows of several archive files serve a partition: a function of the files alone, whatever their order.

Every row of every file either serves or is kept in reserve. What several files tell is decided row by row:

- Rows of one identity (trade id, candle start, ...) are the same event: one serves. A row inside its file's declared period goes before a
  stray one, one that tells the side before one that does not, a finished candle before an unfinished one (more trades, then more
  volume), then the file of the smaller rank, the earlier receipt, and last the file whose key sorts first.
- Aggregated trades and the single trades that they add up are the same trades. Where all single trades of an aggregated row are
  there, they serve; where one is missing, the aggregated row serves in the place of those that are there.
- Trades without any id are told apart by all their values: as many of the same values serve as the file has that has most of them.
- Trades with numbers, trades with text ids and trades without ids cannot be matched with each other. The kind that covers more minutes of
  the partition serves; the others serve outside of what it covers.

A trade may stand in one file's partition of one day and in another file's of the next, because their clocks differ. So the rows of
the neighbouring partitions that lie close to the border in the exchange's time (`Near`) take part in the decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from pointline import schema
from pointline.clock import DAY_US, MINUTE_US
from pointline.lake.partition import file_id
from pointline.lake.totals import LEAST_HOLE_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointline.lake.partition import Feed

    Mask = NDArray[np.bool_]


class FeedRows(NamedTuple):
    """One archive file's rows of a partition, in the columns that a source parses."""

    feed: Feed
    rows: pl.DataFrame


@dataclass(frozen=True)
class Conflict:
    """Two files that tell the same event with other values.

    Attributes:
        serving, losing: keys of the files.
        rows: how many events.
        example: the first of them, in words.
    """

    serving: str
    losing: str
    rows: int
    example: str


@dataclass(frozen=True)
class Served:
    """The rows of a partition, sorted, with ``source_file``.

    Attributes:
        serving: rows that serve.
        reserve: rows that do not.
        conflicts: contradictions between files.
    """

    serving: pl.DataFrame
    reserve: pl.DataFrame
    conflicts: tuple[Conflict, ...] = ()


_HERE, _OUTSIDE, _RANK, _FEED, _ROW = "_here", "_outside", "_rank", "_feed", "_row"
_OCCURRENCE = "_occurrence"
_NO_ID, _TEXT, _NUMBER = 0, 1, 2


def serve(kind: str, here: Sequence[FeedRows], near: Sequence[FeedRows] = ()) -> Served:
    """Decides which rows of a partition serve.

    Args:
        kind: table name.
        here: the rows of the partition, one part per archive file.
        near: rows of the neighbouring partitions that may tell the same as some of these.
    """
    keys = sorted({part.feed.key for part in (*here, *near)})
    if len(keys) == 1 and not _is_mixed(kind, here):
        frame = pl.concat([_stored(part, kind) for part in here]).sort("ts_local_us", "source_row", maintain_order=True)
        return Served(frame, frame.clear())
    frame = _together(kind, here, near, keys)
    identity = _Identities(kind, frame)
    losing = identity.losing
    conflicts = identity.conflicts(keys)
    if schema.table(kind).continuous:
        losing = losing | _aggregated_or_single(frame, losing)
        losing = losing | _of_lesser_kinds(frame, losing)
    rows = frame.with_columns(_losing=pl.Series(losing)).filter(_HERE)
    serving = _sorted(rows.filter(~pl.col("_losing")), kind)
    reserve = rows.filter("_losing").sort("ts_local_us", _FEED, "source_row")
    columns = [*schema.table(kind).parsed, "source_file"]
    return Served(serving.select(columns), reserve.select(columns), conflicts)


def _is_mixed(kind: str, parts: Sequence[FeedRows]) -> bool:
    """Whether one file tells the same trades singly and aggregated, or some with ids and some without."""
    if not schema.table(kind).continuous:
        return False
    known = [(part.rows[name].null_count(), part.rows.height) for part in parts for name in ("first_trade_id", "text_id", "trade_id")]
    return any(0 < nulls < rows for nulls, rows in known)


def _stored(part: FeedRows, kind: str) -> pl.DataFrame:
    source_file = pl.lit(file_id(part.feed.key), dtype=pl.Int64).alias("source_file")
    return part.rows.select([*schema.table(kind).parsed]).with_columns(source_file)


def _together(kind: str, here: Sequence[FeedRows], near: Sequence[FeedRows], keys: list[str]) -> pl.DataFrame:
    period = pl.col(schema.table(kind).period)
    frames = []
    for parts, is_here in ((here, True), (near, False)):
        for part in parts:
            declared = part.feed.declared
            outside = pl.lit(value=False) if declared is None else ~period.is_between(*declared, closed="left")
            frames.append(
                _stored(part, kind).with_columns(
                    pl.lit(is_here).alias(_HERE),
                    outside.alias(_OUTSIDE),
                    pl.lit(part.feed.rank, dtype=pl.Int64).alias(_RANK),
                    pl.lit(keys.index(part.feed.key), dtype=pl.Int64).alias(_FEED),
                )
            )
    return pl.concat(frames).with_row_index(_ROW)


class _Identities:
    """The rows that tell the same event as a better row."""

    def __init__(self, kind: str, frame: pl.DataFrame) -> None:
        self._kind = kind
        self._frame = frame
        self._pairs: list[pl.DataFrame] = []  # row that serves, row that does not
        self.losing = np.zeros(frame.height, dtype=np.bool_)
        for rows, key in self._groups():
            self._decide(rows, key)

    def _groups(self) -> list[tuple[pl.DataFrame, list[str]]]:
        """Rows that can be matched with each other, and by which columns."""
        frame = self._frame
        identity = list(schema.table(self._kind).identity)
        if not schema.table(self._kind).continuous:
            known = pl.all_horizontal(pl.col(identity).is_not_null())
            return [(frame.filter(known), identity), self._by_values(frame.filter(~known))]
        of = _kind_of_id(frame)
        numbers, aggregated = of == _NUMBER, frame["first_trade_id"].is_not_null()
        # ids may begin anew every day
        frame = frame.with_columns(_day=pl.col("ts_event_us") // DAY_US)
        return [
            (frame.filter(numbers & ~aggregated), ["trade_id", "_day"]),
            (frame.filter(numbers & aggregated), ["trade_id", "_day"]),
            (frame.filter(of == _TEXT), ["text_id", "_day"]),
            self._by_values(frame.filter(of == _NO_ID)),
        ]

    def _by_values(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
        values = self._content()
        numbered = rows.sort("source_row").with_columns(pl.int_range(pl.len()).over([_FEED, *values]).alias(_OCCURRENCE))
        return numbered, [*values, _OCCURRENCE]

    def _content(self) -> list[str]:
        """What the venue tells of an event; `off_book` may be our own judgement."""
        return [name for name in schema.table(self._kind).parsed if name not in {"ts_local_us", "source_row", "off_book"}]

    def _decide(self, rows: pl.DataFrame, key: list[str]) -> None:
        if rows.height < 2:  # noqa: PLR2004 - one row has no rival
            return
        repeated = rows.filter(pl.struct(key).is_duplicated() if len(key) > 1 else pl.col(key).is_duplicated())
        if repeated.is_empty():
            return
        finished = [pl.col(name).fill_null(-1).neg() for name in ("trade_count", "volume") if name in rows.columns]
        untold = [pl.col("side").is_null()] if "side" in rows.columns else []
        order = [pl.col(_OUTSIDE), *untold, *finished, pl.col(_RANK), pl.col("ts_local_us"), pl.col(_FEED), pl.col("source_row")]
        ranked = repeated.sort(order).select(*key, _ROW, serving=pl.col(_ROW).first().over(key))
        pairs = ranked.filter(pl.col(_ROW) != pl.col("serving")).select("serving", _ROW)
        self.losing[pairs[_ROW].to_numpy()] = True
        self._pairs.append(pairs)

    def conflicts(self, keys: list[str]) -> tuple[Conflict, ...]:
        """The pairs of files whose values of the same event differ."""
        if not self._pairs:
            return ()
        pairs = pl.concat(self._pairs)
        content = [name for name in self._content() if not name.startswith("ts_")]
        told = self._frame.select(_ROW, _FEED, "source_row", _time(self._kind), *content)
        both = pairs.join(told, on=_ROW).join(told, left_on="serving", right_on=_ROW, suffix="_serving")
        names = ["_time", *content]
        differs = pl.any_horizontal((pl.col(name) != pl.col(f"{name}_serving")).fill_null(value=False) for name in names)
        both = both.filter(differs & (pl.col(_FEED) != pl.col(f"{_FEED}_serving"))).sort(_ROW)
        found = []
        for (serving, losing), rows in both.group_by(f"{_FEED}_serving", _FEED, maintain_order=True):
            found.append(Conflict(keys[int(serving)], keys[int(losing)], rows.height, _example(rows.row(0, named=True), names)))
        return tuple(sorted(found, key=lambda conflict: (conflict.serving, conflict.losing)))


def _time(kind: str) -> pl.Expr:
    """The time of an event as far as archives agree on it: to the millisecond."""
    return (pl.col(schema.table(kind).period) // 1_000).alias("_time")


def _example(row: dict[str, object], names: list[str]) -> str:
    told = [
        f"{name.removeprefix('_')} {row[name]} against {row[f'{name}_serving']}"
        for name in names
        if None not in (row[name], row[f"{name}_serving"]) and row[name] != row[f"{name}_serving"]
    ]
    return f"line {row['source_row']} against line {row['source_row_serving']}: {', '.join(told)}"


def _kind_of_id(frame: pl.DataFrame) -> pl.Series:
    number = pl.when(pl.col("trade_id").is_not_null()).then(_NUMBER)
    return frame.select(number.when(pl.col("text_id").is_not_null()).then(_TEXT).otherwise(_NO_ID).cast(pl.Int8)).to_series()


def _aggregated_or_single(frame: pl.DataFrame, losing: Mask) -> Mask:
    """Of aggregated rows and the single trades that they add up, the rows that do not serve."""
    found = np.zeros(frame.height, dtype=np.bool_)
    ids, first, last = (frame[name] for name in ("trade_id", "first_trade_id", "last_trade_id"))
    numbered = ids.is_not_null().to_numpy() & ~losing
    aggregated = numbered & first.is_not_null().to_numpy()
    single = numbered & ~aggregated
    if not aggregated.any() or not single.any():
        return found
    places = np.flatnonzero(single)
    known = ids.to_numpy()[places].astype(np.int64)
    order = np.argsort(known, kind="stable")
    known, places = known[order], places[order]
    rows = np.flatnonzero(aggregated)
    low, high = (column.to_numpy()[rows].astype(np.int64) for column in (first, last))
    begins, ends = np.searchsorted(known, low, side="left"), np.searchsorted(known, high, side="right")
    whole = ends - begins == high - low + 1
    found[rows[whole]] = True
    for begin, end in zip(begins[~whole].tolist(), ends[~whole].tolist(), strict=True):
        found[places[begin:end]] = True
    return found


def _of_lesser_kinds(frame: pl.DataFrame, losing: Mask) -> Mask:
    """Rows of the kinds of ids that cover less of the partition, where a kind that covers more of it has rows."""
    found = np.zeros(frame.height, dtype=np.bool_)
    kinds = _kind_of_id(frame).to_numpy()
    present = [kind for kind in (_NUMBER, _TEXT, _NO_ID) if (kinds == kind).any()]
    if len(present) < 2:  # noqa: PLR2004 - nothing to choose from
        return found
    marked = frame.select("ts_event_us", "trade_id", "first_trade_id", "last_trade_id", _OUTSIDE, _RANK, _FEED).with_columns(
        _kind=pl.Series(kinds), _losing=pl.Series(losing)
    )
    covered = {kind: _covered(marked.filter(pl.col("_kind") == kind)) for kind in present}
    ranks = {kind: int(marked.filter(pl.col("_kind") == kind)[_RANK].min()) for kind in present}  # type: ignore[arg-type]
    minutes = {kind: sum(end - start for start, end in spans) // MINUTE_US for kind, spans in covered.items()}
    times = frame["ts_event_us"].to_numpy()
    taken: list[tuple[int, int]] = []
    for kind in sorted(present, key=lambda kind: (-minutes[kind], ranks[kind], -kind)):
        found |= (kinds == kind) & _inside(times, taken)
        taken = _joined([*taken, *covered[kind]])
    return found


def _covered(rows: pl.DataFrame) -> list[tuple[int, int]]:
    """The spans on the exchange's clock from the first to the last row of each file, less the holes that ids tell of."""
    spans = rows.filter(~pl.col(_OUTSIDE)).group_by(_FEED).agg(start=pl.col("ts_event_us").min(), end=pl.col("ts_event_us").max() + 1)
    joined = _joined(list(spans.select("start", "end").iter_rows()))
    serving = rows.filter(~pl.col("_losing") & pl.col("trade_id").is_not_null())
    for start, end in _holes(serving):
        joined = [piece for low, high in joined for piece in ((low, min(high, start)), (max(low, end), high)) if piece[0] < piece[1]]
    return joined


def _holes(rows: pl.DataFrame) -> list[tuple[int, int]]:
    if rows.is_empty():
        return []
    first, last = (pl.coalesce(name, "trade_id") for name in ("first_trade_id", "last_trade_id"))
    ordered = rows.select("ts_event_us", first=first, last=last).sort("first")
    before, time = pl.col("last").cum_max().shift(1), pl.col("ts_event_us").shift(1)
    gaps = ordered.select(start=time + 1, end="ts_event_us", missing=(pl.col("first") > before + 1))
    found = gaps.filter(pl.col("missing") & (pl.col("end") - pl.col("start") >= LEAST_HOLE_US))
    return list(found.select("start", "end").iter_rows())


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _inside(times: NDArray[np.int64], spans: list[tuple[int, int]]) -> Mask:
    if not spans:
        return np.zeros(len(times), dtype=np.bool_)
    starts, ends = (np.array(bounds, dtype=np.int64) for bounds in zip(*spans, strict=True))
    at = np.searchsorted(starts, times, side="right") - 1
    inside: Mask = (at >= 0) & (times < ends[np.maximum(at, 0)])
    return inside


def _sorted(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """By receipt; ties of one file in its order, ties of several by trade id."""
    if rows[_FEED].n_unique() <= 1:
        return rows.sort("ts_local_us", "source_row")
    ids = [pl.coalesce("first_trade_id", "trade_id")] if schema.table(kind).continuous else []
    return rows.sort(["ts_local_us", *ids, _FEED, "source_row"], nulls_last=True)

"""Whether a file's receipt times can be believed: nothing is received before it happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from pointline.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

CLOCK_SAMPLE_ROWS = 1_000  # after so many rows a clock that is behind is reported, without reading the rest
CLOCK_LIMIT_US = 250_000  # a message cannot arrive before it was sent; up to here it is put down to the drift of clocks


def uses_event_time(clock: str | None) -> bool:
    """Whether ``--clock`` says that receipt times are not to be used.

    Raises:
        ConfigError: there is no such clock.
    """
    if clock not in {None, "event"}:
        raise ConfigError("there is no such clock", value=clock, expected="event, or none given")
    return clock == "event"


@dataclass
class ClockCheck:
    """Counts, over a whole file, how far exchange times lie after receipt times; exact to the millisecond."""

    path: Path
    rows: int = 0
    counts: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"behind_ms": pl.Int64, "count": pl.UInt32}))

    def see(self, behind_us: pl.Series) -> None:
        """Takes in more rows, as exchange time minus receipt time; judges once when `CLOCK_SAMPLE_ROWS` are together."""
        missing = max(CLOCK_SAMPLE_ROWS - self.rows, 0)
        if missing and len(behind_us) >= missing:
            self._add(behind_us[:missing])
            self.judge()
            self._add(behind_us[missing:])
        else:
            self._add(behind_us)

    def judge(self) -> None:
        """Refuses a file of which most rows were received more than `CLOCK_LIMIT_US` before they happened.

        Raises:
            SourceError: it is such a file.
        """
        late = self.counts.filter(pl.col("behind_ms") * 1000 > CLOCK_LIMIT_US)["count"].sum()
        if self.rows == 0 or late * 2 <= self.rows:
            return
        half = self.counts.sort("behind_ms").filter(pl.col("count").cum_sum() * 2 >= self.rows)
        raise SourceError(
            f"the recorder's clock is behind the exchange's: {late} of {self.rows} rows were received before they happened, "
            f"in the median {half['behind_ms'][0] / 1000:.3f} s before",
            where=str(self.path),
            expected=f"exchange times no later than {CLOCK_LIMIT_US // 1000} ms after the receipt times",
            hint="use the exchange's own time: --clock event (and --latency for an assumed delay)",
        )

    def _add(self, behind_us: pl.Series) -> None:
        self.rows += len(behind_us)
        counted = behind_us.to_frame("behind_ms").group_by(pl.col("behind_ms") // 1000).agg(count=pl.len())
        self.counts = pl.concat([self.counts, counted]).group_by("behind_ms").agg(pl.col("count").sum())

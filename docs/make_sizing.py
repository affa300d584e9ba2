"""Writes the table of docs/sizing.md from measured figures; with ``--large 2 --small 18 --years 3`` it prints a case."""  # noqa: INP001

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

WHOLE_FROM = 100
PAGE = Path(__file__).with_name("sizing.md")
BEGIN, END = "<!-- begin: made by make_sizing.py -->", "<!-- end -->"

DAYS_PER_YEAR = 365.25
LARGE = (3.335, 4.432)
"""Million trades a day of perpetual and spot: BTCUSDT of Binance on 2024-10-28, counts of its own hourly candles."""
SMALL = (0.181, 0.1)
"""The same of a small pair: APEUSDT's perpetual on 2024-10-18 by its trade ids; the spot figure is assumed."""

# Measured: docs/performance.md, made by `make bench`.
ARCHIVE_BYTES = (13.8, 21.3)  # of a trade, perpetual and spot
LAKE_BYTES = (4.21, 6.63)
INGEST_ROWS_PER_S = (3_210_820, 996_033)
# Measured: docs/cluster.md, `python benchmarks/scale.py LAKE --days 10 --runs 5`, every feature, no sums of bars kept.
DAYS_PER_TASK = 7
CPU_S_PER_MILLION_TRADES = 0.031
CPU_S_PER_TASK = 0.14
WORKER_BYTES = 563e6
# Measured: docs/s3.md, `python benchmarks/s3.py LAKE`: the difference of ten days and one.
GETS_PER_PAIR_DAY = (293 - 59) / 9
# Measured: the Parquet file of `pointline compare` on one day of 3,033 bars.
BYTES_PER_BAR = 515
BARS_PER_DAY = 3_000
# Measured: docs/download.md, on a line of 400 Mbit/s.
DOWNLOAD_BYTES_PER_S = 40e6
# Assumed: dollars. Put those of your provider here.
STORAGE_PER_GB_MONTH = 0.023
PER_THOUSAND_GETS = 0.0004
PER_CPU_HOUR = 0.05


@dataclass(frozen=True)
class SizingCase:
    """So many pairs over so many years.

    Attributes:
        name: for the table.
        large, small: pairs of each kind.
        years: of data.
    """

    name: str
    large: int
    small: int
    years: float

    @property
    def days(self) -> float:
        """Of each pair."""
        return self.years * DAYS_PER_YEAR

    @property
    def pair_days(self) -> float:
        """Days of all pairs."""
        return (self.large + self.small) * self.days

    @property
    def millions(self) -> tuple[float, float]:
        """Million trades of perpetuals and of spot, over all days."""
        perp, spot = (self.days * (self.large * LARGE[side] + self.small * SMALL[side]) for side in (0, 1))
        return perp, spot

    @property
    def archive_bytes(self) -> float:
        """Of the archives."""
        return sum(1e6 * count * size for count, size in zip(self.millions, ARCHIVE_BYTES, strict=True))

    @property
    def lake_bytes(self) -> float:
        """Of the lake."""
        return sum(1e6 * count * size for count, size in zip(self.millions, LAKE_BYTES, strict=True))

    @property
    def features_bytes(self) -> float:
        """Of the features of bars, every day."""
        return self.pair_days * BARS_PER_DAY * BYTES_PER_BAR

    @property
    def download_hours(self) -> float:
        """Of one line."""
        return self.archive_bytes / DOWNLOAD_BYTES_PER_S / 3600

    @property
    def ingest_hours(self) -> float:
        """Of one process."""
        return sum(1e6 * count / rate for count, rate in zip(self.millions, INGEST_ROWS_PER_S, strict=True)) / 3600

    @property
    def features_cpu_hours(self) -> float:
        """Of all tasks; a task counts the day in front of its own too."""
        counted = sum(self.millions) * (DAYS_PER_TASK + 1) / DAYS_PER_TASK
        return (self.pair_days / DAYS_PER_TASK * CPU_S_PER_TASK + counted * CPU_S_PER_MILLION_TRADES) / 3600

    @property
    def month_dollars(self) -> float:
        """Storage of lake and features for a month."""
        return (self.lake_bytes + self.features_bytes) / 1e9 * STORAGE_PER_GB_MONTH

    @property
    def run_dollars(self) -> float:
        """One run over everything: processors, and requests of machines that have nothing of the lake yet."""
        gets = self.pair_days * (DAYS_PER_TASK + 1) / DAYS_PER_TASK * GETS_PER_PAIR_DAY
        return self.features_cpu_hours * PER_CPU_HOUR + gets / 1000 * PER_THOUSAND_GETS


CASES = (
    SizingCase("1 large pair, 1 year", 1, 0, 1),
    SizingCase("2 large and 18 small pairs, 2 years", 2, 18, 2),
    SizingCase("20 large and 480 small pairs, 5 years", 20, 480, 5),
)
HEADINGS = (
    "Case",
    "Trades, billions",
    "Archives, GB",
    "Lake, GB",
    "Features, GB",
    "Download, h",
    "Ingest, h",
    "Features, CPU h",
    "with 16 workers, h",
    "Storage, $ a month",
    "One run, $",
)


def row(case: SizingCase) -> tuple[str, ...]:
    """The figures of a case, as in `HEADINGS`."""
    figures = (
        sum(case.millions) / 1000,
        case.archive_bytes / 1e9,
        case.lake_bytes / 1e9,
        case.features_bytes / 1e9,
        case.download_hours,
        case.ingest_hours,
        case.features_cpu_hours,
        case.features_cpu_hours / 16,
        case.month_dollars,
        case.run_dollars,
    )
    return (case.name, *(f"{figure:,.0f}" if figure >= WHOLE_FROM else f"{figure:.2g}" for figure in figures))


def table() -> str:
    """A Markdown table with a row for each case."""
    lines = [HEADINGS, ("---", *["--:"] * (len(HEADINGS) - 1)), *map(row, CASES)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def updated(page: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Prints a case that is asked for, or else writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--small", type=int, default=0)
    parser.add_argument("--years", type=float, default=1.0)
    given = parser.parse_args()
    if given.large or given.small:
        case = SizingCase("your case", given.large, given.small, given.years)
        print("\n".join(f"{name}: {figure}" for name, figure in zip(HEADINGS, row(case), strict=True)))  # noqa: T201 - the result
    else:
        PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

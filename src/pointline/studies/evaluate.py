"""Study.ic(): whether the features of a comparison predict anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.bars.amounts import on_book
from pointline.bars.run import VenueTrades
from pointline.clock import DAY_US
from pointline.errors import ConfigError, nearest
from pointline.evaluation.deciles import deciles
from pointline.evaluation.steadiness import decay, grouped, groups_of
from pointline.evaluation.verdict import verdict
from pointline.studies.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pointline.bars.request import VenueEvents
    from pointline.evaluation.deciles import Deciles
    from pointline.evaluation.information import IcOptions, JudgedFeatures
    from pointline.evaluation.labels import Label, LabelSeries

_SHOWN_ROWS = 12


def followed_prices(sides: Mapping[str, VenueEvents], frame: pl.DataFrame) -> dict[str, NDArray[np.float64]] | None:
    """What a venue would show if it only followed the other: that one's last price at the time of its own last trade.

    Args:
        sides: the trades of the window, under ``"perp"`` and ``"spot"``.
        frame: rows with ``bucket_end`` and the ages of both prices.

    Returns:
        Under ``"spot"`` the perp's price at the last spot trade of each row, under ``"perp"`` the reverse, NaN where one of the two is not
        known; None where bars are made of candles, which do not tell when a venue traded.
    """
    found = {}
    for venue, other in (("spot", "perp"), ("perp", "spot")):
        leading = sides[other]
        if not isinstance(leading, VenueTrades):
            return None
        at = frame.select((pl.col("bucket_end") - pl.col(f"{venue}_age_us")).fill_null(-1)).to_series().to_numpy()
        found[venue] = _prices_at(leading, at)
    return found


def _prices_at(venue: VenueTrades, at: NDArray[np.int64]) -> NDArray[np.float64]:
    """The last price at each instant, of the window's trades."""
    found, before = np.full(len(at), np.nan), np.nan
    for day, file in sorted(venue.files.items()):
        rows = on_book(file, ["ts_local_us", "price_int"], include_off_book=venue.include_off_book).collect()
        prices = rows["price_int"].to_numpy() / 10 ** file.totals["price_decimals"]
        inside = np.flatnonzero((at >= day) & (at < day + DAY_US))
        places = np.searchsorted(rows["ts_local_us"].to_numpy(), at[inside], side="right") - 1
        found[inside] = np.where(places >= 0, prices[np.maximum(places, 0)] if len(prices) else np.nan, before)
        before = prices[-1] if len(prices) else before
    return found


SHOWN_COLUMNS = (
    *("feature", "label", "horizon", "ic", "low", "high", "causal_t", "p_bh", "ic_next"),
    *("decile_spread_bps", "cost_bps", "n_eff", "detectable", "days_same_sign", "null_bound", "ic_if_stale", "ic_if_bounce"),
)
"""Columns that the command line and notebooks show of the table."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of `Study.ic`. It can be pickled.

    Attributes:
        title: the two instruments.
        rule_text: when bars close.
        options: how features were judged.
    """

    title: str
    rule_text: str
    options: IcOptions
    _judged: JudgedFeatures = field(repr=False)
    _seconds_to_funding: np.ndarray[tuple[int], np.dtype[np.float64]] | None = field(repr=False)

    @property
    def table(self) -> pl.DataFrame:
        """One row per feature, label and horizon; the columns are those of `pointline.evaluation.ic`."""
        return self._judged.table

    @cached_property
    def standing(self) -> pl.DataFrame:
        """The rows that stand: both tests reject, also after counting all tries, and no null is as large; the largest first."""
        return self.table.filter("stands").sort(pl.col("ic").abs(), descending=True)

    @cached_property
    def verdict(self) -> str:
        """What predicts what, for how long, worth how many basis points, against which cost."""
        return verdict(self.table, self._judged.trials)

    @property
    def summary(self) -> Summary:
        """The verdict, and what it rests on."""
        judged = self._judged
        return Summary(
            {
                "verdict": self.verdict,
                "bars": judged.bars,
                "trials": judged.trials,
                "tests_that_stand": self.standing.height,
                "features": len(judged.values),
                "labels_without_values": list(judged.untold),
                "share_bars_dropped": judged.share_dropped,
                "share_bars_without_spot": judged.share_stale,
                "half_spreads_bps": dict(judged.half_spreads_bps),
                "sample": "in-sample, but for columns that end in _out or _out_bps",
                "confidence": self.options.confidence,
                "method": self.options.method,
                "seed": self.options.seed,
            }
        )

    def by(self, grouping: str, feature: str, label: Label = "spot_return", horizon: str | None = None) -> pl.DataFrame:
        """One feature's rank correlation within each day, hour of day (UTC), or hour before the next settlement.

        Args:
            grouping: ``"day"``, ``"hour"`` or ``"settlement"``.
            feature: one that was judged.
            label, horizon: what it is held against; the first horizon if None.

        Returns:
            ``group`` (days since 1970-01-01, hour of day, or whole hours to the settlement, -1 where not known), ``n`` and ``ic``, which
            is null in a group of few rows.

        Raises:
            ConfigError: an unknown grouping, feature, label or horizon.
        """
        target = self._label(label, horizon)
        groups = groups_of(grouping, self._judged.ends, self._seconds_to_funding)
        return grouped(self._feature(feature), target.values, groups)

    def deciles(self, feature: str, label: Label = "spot_return", horizon: str | None = None) -> Deciles:
        """Means of a label by tenths of one feature, in-sample, in bps (see `pointline.evaluation.deciles`).

        Args:
            feature: one that was judged.
            label, horizon: what it is held against; the first horizon if None.

        Raises:
            ConfigError: an unknown feature, label or horizon.
        """
        return deciles(self._feature(feature), self._label(label, horizon).values)

    def decay(self, feature: str, label: Label = "spot_return", lags: int = 50) -> pl.DataFrame:
        """One feature's rank correlation with what happens in one bar, 1 to `lags` bars later.

        Args:
            feature: one that was judged.
            label: what it is held against.
            lags: how many bars; lag 1 is the bar right after the feature's.

        Raises:
            ConfigError: an unknown feature or label, or no lag.
        """
        if lags < 1:
            raise ConfigError("lags is no number of bars", where="decay", value=lags, expected="1 or more")
        found = decay(self._feature(feature), self._label(label, None).one_bar, lags)
        return pl.DataFrame({"lag": np.arange(1, lags + 1), "ic": found}).with_columns(pl.col("ic").fill_nan(None))

    def _feature(self, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        values = self._judged.values
        if name not in values:
            raise ConfigError("this feature was not judged", where="feature", value=name, hint=nearest(name, list(values)).lower())
        return values[name]

    def _label(self, name: str, horizon: str | None) -> LabelSeries:
        known = [(label.name, label.horizon) for label in self._judged.labels]
        found = next((one for one in self._judged.labels if one.name == name and horizon in {None, one.horizon}), None)
        if found is None:
            expected = ", ".join(f"{label} over {text}" for label, text in known)
            raise ConfigError("this label was not used", where="label", value=f"{name} over {horizon}", expected=expected)
        return found

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        shown = [name for name in SHOWN_COLUMNS if name in self.table.columns]
        best = self.table.sort(pl.col("ic").abs(), descending=True, nulls_last=True).head(_SHOWN_ROWS).select(shown)
        return study_html(
            title=f"{self.title}: information coefficients",
            lines=[f"Bars: {self.rule_text}", self.verdict],
            tables=[("Summary", self.summary.frame()), ("The largest coefficients, in-sample", best)],
            notes=(),
        )

"""Lead-lag on bars: how the returns of perp and spot go together at lags of whole bars, in both directions and by hour of day.

Nothing reaches over a hole: two bars are compared only where they are in one stretch (see `pointline.features.stretches`). On bars the side
that trades less often looks late; `pointline.evaluation.lead_lag` measures on raw ticks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline import clock
from pointline.errors import ConfigError
from pointline.features.stretches import stretch_numbers, stretch_of, within

if TYPE_CHECKING:
    from collections.abc import Sequence

_STRETCH = stretch_of(("perp_close", "spot_close"))
_NEEDED = ("bucket_start", "bucket_end", "perp_close", "spot_close")
_LAGS = (1, 2, 3, 4, 5)
MOVE = 0.005
FEWEST_BARS = 30
_SIDES = (("perp", "spot"), ("spot", "perp"))


def cross_moments(bars: pl.DataFrame, lags: Sequence[int] = _LAGS) -> pl.DataFrame:
    """The correlation of one side's return with the other's some bars later, in both directions, and that of the same bar.

    Args:
        bars: ``bucket_start``, ``bucket_end``, ``perp_close``, ``spot_close``, sorted, and ``perp_hole``, ``spot_hole`` where known; the
            features of a study have them.
        lags: how many bars later.

    Returns:
        leader (``perp``, ``spot``, or ``both`` at lag 0), lag_bars, correlation, beta (of the follower on the leader), bars, and excess:
        the correlation less that of the other direction. Null correlations where fewer than 30 bars can be compared.

    Raises:
        ConfigError: missing columns, unsorted bars, lags that are no counts.

    Examples:
        >>> import pointline
        >>> from pointline.evaluation import cross_moments
        >>> from pointline.research.spines import TimeBarConfig
        >>> pair = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
        >>> window = {"start": "2024-05-01", "end": "2024-05-03", "lake": "out/demo/lake"}
        >>> found = cross_moments(pointline.compare(*pair, **window, bars=TimeBarConfig("1m")).features)
        >>> found["leader"].to_list()[:3], found.height
        (['both', 'perp', 'spot'], 11)
    """
    counts = _counts(lags)
    returns = _returns(bars)
    rows = [("both", 0, *_moments(returns, pl.col("perp_return"), pl.col("spot_return")))]
    for lag in counts:
        rows += [(leader, lag, *_moments(returns, pl.col(f"{leader}_return"), _later(follower, lag))) for leader, follower in _SIDES]
    schema = {"leader": pl.String, "lag_bars": pl.Int64, "correlation": pl.Float64, "beta": pl.Float64, "bars": pl.Int64}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    both_ways = pl.col("correlation").sum().over("lag_bars")
    complete = (pl.col("correlation").is_not_null().sum().over("lag_bars") == len(_SIDES)) & (pl.col("lag_bars") > 0)
    return table.with_columns(pl.when(complete).then(2 * pl.col("correlation") - both_ways).alias("excess"))


def responses(bars: pl.DataFrame, *, move: float = MOVE, lags: Sequence[int] = _LAGS) -> pl.DataFrame:
    """How far the other side goes when one side moves by `move` or more in a bar: in the same bar, and in the bars after it.

    The guide expects +0.4 % of spot at +0.5 % of the perp without saying when. In the same bar this is one price on two venues; only what
    comes in later bars could be traded.

    Args:
        bars: as in `cross_moments`.
        move: the return of one bar that counts, as a fraction.
        lags: up to how many bars later; each row is the return from the end of the bar to the end of the bar `lag` later.

    Returns:
        leader, direction (``up`` or ``down``), regime (``same bar`` or ``later bars``), lag_bars, moves (how often), mean_move (of the
        leader), mean_response, standard_error and response_per_move of the other side.

    Raises:
        ConfigError: as `cross_moments`; `move` is not above zero.

    Examples:
        The perp moves by 1 %, spot by half of that, all of it a bar later:

        >>> import polars as pl
        >>> from pointline.evaluation import responses
        >>> bars = pl.DataFrame({"bucket_start": [0, 1, 2], "bucket_end": [1, 2, 3]})
        >>> bars = bars.with_columns(perp_close=pl.Series([100, 101, 101]), spot_close=pl.Series([200, 200, 201]))
        >>> found = responses(bars, lags=(1,)).filter(leader="perp", direction="up")
        >>> found["regime"].to_list(), found["response_per_move"].round(3).to_list()
        (['same bar', 'later bars'], [0.0, 0.5])
    """
    if not 0 < move < 1:
        raise ConfigError("move is no return", value=move, expected="a fraction above 0 and below 1, such as 0.005")
    counts = _counts(lags)
    returns = _returns(bars)
    parts = []
    for leader, follower in _SIDES:
        answers = [("same bar", 0, pl.col(f"{follower}_return")), *(("later bars", lag, _later_sum(follower, lag)) for lag in counts)]
        own = pl.col(f"{leader}_return")
        for direction, chosen in (("up", own >= move), ("down", own <= -move)):
            for regime, lag, answer in answers:
                both = pl.DataFrame(returns.select(own.alias("move"), answer.alias("response"), chosen.alias("chosen")))
                kept = both.filter("chosen").drop_nulls()
                parts.append((leader, direction, regime, lag, *_response(kept)))
    schema = {
        "leader": pl.String,
        "direction": pl.String,
        "regime": pl.String,
        "lag_bars": pl.Int64,
        "moves": pl.Int64,
        **dict.fromkeys(("mean_move", "mean_response", "standard_error"), pl.Float64),
    }
    table = pl.DataFrame(parts, schema=schema, orient="row")
    return table.with_columns((pl.col("mean_response") / pl.col("mean_move")).alias("response_per_move"))


def leads_by_hour(bars: pl.DataFrame) -> pl.DataFrame:
    """The correlations one bar later in both directions by hour of day (UTC) of the bar's end.

    Args:
        bars: as in `cross_moments`.

    Returns:
        hour, bars, perp_leads, spot_leads (correlations), excess (their difference), leader (the larger one; null where the difference is
        within two standard errors of two independent correlations, or fewer than 30 bars can be compared).

    Raises:
        ConfigError: as `cross_moments`.

    Examples:
        >>> import pointline
        >>> from pointline.evaluation import leads_by_hour
        >>> from pointline.research.spines import TimeBarConfig
        >>> pair = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
        >>> window = {"start": "2024-05-01", "end": "2024-05-03", "lake": "out/demo/lake"}
        >>> leads_by_hour(pointline.compare(*pair, **window, bars=TimeBarConfig("1m")).features).height
        24
    """
    returns = _returns(bars)
    hour = (pl.col("bucket_end") % clock.DAY_US // clock.HOUR_US).cast(pl.Int64).alias("hour")
    pairs = returns.select(
        hour,
        pl.col("perp_return", "spot_return"),
        _later("spot", 1).alias("spot_later"),
        _later("perp", 1).alias("perp_later"),
    ).drop_nulls()
    moved = [pl.col(name).std() > 0 for name in ("perp_return", "spot_return", "spot_later", "perp_later")]
    enough = (pl.len() >= FEWEST_BARS) & pl.all_horizontal(moved)
    table = pairs.group_by("hour").agg(
        pl.len().cast(pl.Int64).alias("bars"),
        pl.when(enough).then(pl.corr("perp_return", "spot_later")).alias("perp_leads"),
        pl.when(enough).then(pl.corr("spot_return", "perp_later")).alias("spot_leads"),
    )
    excess = pl.col("perp_leads") - pl.col("spot_leads")
    clear = excess.abs() > 2 * (2 / pl.col("bars")).sqrt()
    leader = pl.when(clear).then(pl.when(excess > 0).then(pl.lit("perp")).otherwise(pl.lit("spot")))
    return table.with_columns(excess.alias("excess"), leader.alias("leader")).sort("hour")


def _counts(lags: Sequence[int]) -> list[int]:
    if not lags or not all(clock.is_whole(lag) and lag >= 1 for lag in lags):
        raise ConfigError("lags are no counts of bars", value=lags, expected="whole numbers, 1 or more, such as (1, 2, 3)")
    return list(lags)


def _returns(bars: pl.DataFrame) -> pl.DataFrame:
    """perp_return and spot_return of each bar from the one before, null over holes, with the bars' stretches."""
    missing = [name for name in _NEEDED if name not in bars.columns]
    if missing:
        raise ConfigError("the bars lack columns", value=missing, expected=", ".join(_NEEDED), hint="the features of a study have them")
    if not bars["bucket_end"].is_sorted():
        raise ConfigError("the bars are not sorted", where="bucket_end", hint='bars.sort("bucket_end")')
    holes = [name for name in ("perp_hole", "spot_hole") if name in bars.columns]
    known = bars.select(*_NEEDED, *holes)
    steps = [within(pl.col(f"{side}_close") / pl.col(f"{side}_close").shift(1) - 1, _STRETCH, 2) for side in ("perp", "spot")]
    numbered = known.with_columns(stretch_numbers(known.columns))
    return numbered.with_columns(step.alias(f"{side}_return") for side, step in zip(("perp", "spot"), steps, strict=True))


def _later(side: str, lag: int) -> pl.Expr:
    """The return of the bar `lag` later, null over holes."""
    return within(pl.col(f"{side}_return").shift(-lag), _STRETCH, -lag)


def _later_sum(side: str, lag: int) -> pl.Expr:
    """The return from the bar's end to the end of the bar `lag` later, null over holes."""
    return within(pl.col(f"{side}_close").shift(-lag) / pl.col(f"{side}_close") - 1, _STRETCH, -lag)


def _moments(returns: pl.DataFrame, leader: pl.Expr, follower: pl.Expr) -> tuple[float | None, float | None, int]:
    pairs = returns.select(leader.alias("x"), follower.alias("y")).drop_nulls()
    bars = pairs.height
    spread = pairs.select(pl.col("x", "y").std()).row(0)
    if bars < FEWEST_BARS or not (spread[0] and spread[1]):
        return None, None, bars
    correlation = float(pairs.select(pl.corr("x", "y")).item())
    return correlation, correlation * spread[1] / spread[0], bars


def _response(kept: pl.DataFrame) -> tuple[int, float | None, float | None, float | None]:
    count = kept.height
    if not count:
        return 0, None, None, None
    spread = kept.select(pl.col("response").std()).item()
    move, response = kept.select(pl.col("move", "response").mean()).row(0)
    return count, move, response, None if spread is None else spread / count**0.5

"""Funding: the running rate and its clock, the same rate per 8 hours, and the rate that the venue's rule gives for the bar's premium.

Sources. ``funding_basis_divergence`` is the perp-spot guide's; step, surprise and annual carry are those of the funding-rate guide, with
the contract's own interval in place of three payments a day. The rule of ``funding_fair`` is each exchange's own, of the dates between
which it is known; `pointline.venues` has the formula, and its TOML files the figures and where they were read. For the theory of perpetual
funding see He, Manela, Ross and von Wachter, Fundamentals of Perpetual Futures, arXiv:2212.06888.
"""

from __future__ import annotations

import polars as pl

from pointline.features.basis import PER_BPS
from pointline.features.feature import FUNDING_GUIDE, GUIDE, Feature, PairParams, from_bars, ratio

HOURS_PER_YEAR = 8_760
FAIR_SOURCE = "funding_fair_source"


def _per_hours(hours: int) -> pl.Expr:
    interval = pl.col("funding_interval_hours")
    return pl.when(interval > 0).then(pl.col("funding_close") * hours / interval)


def _mark_premium() -> pl.Expr:
    return ratio(pl.col("mark_close") - pl.col("index_close"), pl.col("index_close"))


def _fair(params: PairParams) -> pl.Expr:
    from pointline.venues.funding import fair_funding_8h_expr

    premium = pl.coalesce(_mark_premium(), pl.col("basis_bps") * PER_BPS)
    own_interval = pl.when(pl.col("funding_interval_hours") > 0).then("funding_interval_hours")
    at = pl.col("bucket_end")
    fair = pl.lit(None, dtype=pl.Float64)
    for rule in params.funding_rules:
        covered = (at >= rule.valid_from_us) & (at < rule.valid_until_us)
        hours = pl.coalesce(own_interval, pl.lit(rule.interval_hours))
        fair = pl.when(covered).then(fair_funding_8h_expr(rule, premium, interval_hours=hours)).otherwise(fair)
    return fair


def fair_source(params: PairParams) -> pl.Expr:
    """Which premium `funding_fair` was computed from: ``"mark_index"``, ``"basis"``, ``"cross_quote_basis"`` or null where it is null."""
    basis = pl.lit("cross_quote_basis" if params.cross_quote else "basis")
    source = pl.when(_mark_premium().is_not_null()).then(pl.lit("mark_index")).otherwise(basis)
    return pl.when(pl.col("funding_fair").is_not_null()).then(source).alias(FAIR_SOURCE)


FUNDING_FEATURES = (
    from_bars(
        "funding_close",
        "running estimate as-of bucket_end, else the last settled rate; see funding_source",
        "fraction per interval",
        source=GUIDE,
    ),
    Feature(
        name="funding_8h",
        formula="funding_close * 8 / funding_interval_hours",
        unit="fraction per 8 h",
        inputs=("funding_close", "funding_interval_hours"),
        build=lambda _: _per_hours(8),
    ),
    from_bars("funding_settled", "last payment known before bucket_end", "fraction per interval"),
    from_bars("funding_age_us", "bucket_end - time at which funding_close became known", "us", dtype=pl.Int64()),
    from_bars("seconds_to_funding", "time from bucket_end to the next settlement, 0 at the settlement; null for a dated future", "s"),
    Feature(
        name="funding_step",
        formula="funding_close - funding_open, the change inside the bar; null unless both are of one kind (funding_source) and interval",
        unit="fraction per interval",
        inputs=("funding_close", "funding_open"),
        build=lambda _: pl.col("funding_close") - pl.col("funding_open"),
        source=FUNDING_GUIDE,
    ),
    Feature(
        name="funding_carry_annual",
        formula="funding_close * 8760 / funding_interval_hours, not compounded",
        unit="fraction per year",
        inputs=("funding_close", "funding_interval_hours"),
        build=lambda _: _per_hours(HOURS_PER_YEAR),
        source=FUNDING_GUIDE,
    ),
    from_bars(
        "predicted_funding_close",
        "the venue's own prediction as-of bucket_end; null if it publishes none",
        "fraction per interval",
        source=FUNDING_GUIDE,
    ),
    Feature(
        name="funding_surprise",
        formula="funding_close - predicted_funding_close",
        unit="fraction per interval",
        inputs=("funding_close", "predicted_funding_close"),
        build=lambda _: pl.col("funding_close") - pl.col("predicted_funding_close"),
        source=FUNDING_GUIDE,
    ),
    from_bars(
        "oi_close",
        "open interest as-of bucket_end; see oi_source for its feed",
        "base (contracts of inverse contracts)",
        source=FUNDING_GUIDE,
    ),
    Feature(
        name="funding_basis_divergence",
        formula="funding_8h - basis_bps / 10^4 / 3; the guide's equilibrium, which is no venue's rule (see funding_fair_divergence)",
        unit="fraction per 8 h",
        inputs=("funding_8h", "basis_bps"),
        build=lambda _: pl.col("funding_8h") - pl.col("basis_bps") * (PER_BPS / 3),
        source=GUIDE,
        published_ic=0.09,
    ),
    Feature(
        name="funding_fair",
        formula=(
            "the venue's rule at bucket_end, with its dead band, and its cap if the venue file has one, applied to the premium of "
            "the bar: (mark_close - index_close) / index_close, else basis_bps / 10^4, see funding_fair_source; the rule itself "
            "averages the premium over the period, this feature takes the bar's; null if no rule of PairParams covers bucket_end"
        ),
        unit="fraction per 8 h",
        inputs=("mark_close", "index_close", "basis_bps", "funding_interval_hours", "bucket_end"),
        build=_fair,
    ),
    Feature(
        name="funding_fair_divergence",
        formula="funding_8h - funding_fair",
        unit="fraction per 8 h",
        inputs=("funding_8h", "funding_fair"),
        build=lambda _: pl.col("funding_8h") - pl.col("funding_fair"),
    ),
)

"""The limits of the checklist as one value, each with its source."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from pointline.errors import ConfigError

CHECKLIST = "perp-spot guide, Validation Checklist"
MONITORING = "perp-spot guide, Production Considerations"
YOURS = "your limit"

BTC_SPOT_VOLUME = 5.0
"""The guide's smallest median of spot volume per bar, in BTC."""


def _limit(default: float | None, source: str) -> Any:  # noqa: ANN401 - stands where a number is declared
    return field(default=default, metadata={"source": source})


@dataclass(frozen=True, kw_only=True)
class CheckLimits:
    """What the points of the checklist are held against. A share is a fraction, 0 to 1.

    Attributes:
        volume_ratio_min, volume_ratio_max: perp volume over spot volume inside which a perp-driven spine makes sense.
        volume_ratio_high: a ratio above it fails; between `volume_ratio_max` and it there is a warning.
        spot_volume_base: the median spot volume per bar must exceed it, in base units of the spot. None: the guide's 5 where the base
            asset is BTC, and no limit for other assets, whose point is then unknown.
        null_share: the share of nulls of each joined feature stays below it; 1 allows any.
        funding_missing_share: largest share of bars without a current funding rate.
        funding_age_intervals: a settled rate older than so many of its intervals is not current.
        ic: an absolute information coefficient out of sample must exceed it.
        basis_min_bps, basis_max_bps: where the basis lies.
        basis_outside_share: above this share of bars outside of them the point fails; any bar outside is a warning.
        fee_age_days: a preset that was read more days before or after the window's end is a warning.
        stale_share_warn, stale_share_fail: share of bars whose spot price is too old.
        hole_share_warn, hole_share_fail: share of the window that trades or candles do not cover.
        flagged_share: above this share of rows flagged as off-book the point fails; any flagged row is a warning.
        quarantined_share: the same of quarantined rows.

    Raises:
        ConfigError: a limit is no finite number, a share lies outside 0 to 1, or two limits are in the wrong order.

    Examples:
        >>> CheckLimits(spot_volume_base=2.0).source_of("spot_volume_base")
        'your limit'
        >>> CheckLimits().source_of("ic")
        'perp-spot guide, Validation Checklist'
    """

    volume_ratio_min: float = _limit(5.0, CHECKLIST)
    volume_ratio_max: float = _limit(15.0, CHECKLIST)
    volume_ratio_high: float = _limit(20.0, MONITORING)
    spot_volume_base: float | None = _limit(None, CHECKLIST)
    null_share: float = _limit(0.01, CHECKLIST)
    funding_missing_share: float = _limit(0.01, "pointline: the guide's limit of nulls")
    funding_age_intervals: float = _limit(1.1, "pointline: an interval, and a tenth for late payments")
    ic: float = _limit(0.05, CHECKLIST)
    basis_min_bps: float = _limit(-50.0, CHECKLIST)
    basis_max_bps: float = _limit(100.0, CHECKLIST)
    basis_outside_share: float = _limit(0.01, "pointline: the guide says typically")
    fee_age_days: float = _limit(365.0, "pointline: a year")
    stale_share_warn: float = _limit(0.01, "pointline: the guide's limit of nulls")
    stale_share_fail: float = _limit(0.1, "pointline: a choice")
    hole_share_warn: float = _limit(0.001, "pointline: a day is covered in part below 99.9 %")
    hole_share_fail: float = _limit(0.01, "pointline: the guide's limit of nulls")
    flagged_share: float = _limit(0.001, "pointline: a choice")
    quarantined_share: float = _limit(0.001, "pointline: a choice")

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is None and one.default is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise _unusable(one.name, value, "a finite number")
            if "_share" in one.name and not 0 <= value <= 1:
                raise _unusable(one.name, value, "a fraction, 0 to 1")
            if not one.name.startswith("basis_m") and value < 0:
                raise _unusable(one.name, value, "zero or more")
        for names in _IN_ORDER:
            values = [getattr(self, name) for name in names]
            if values != sorted(values):
                raise ConfigError(
                    "limits are in the wrong order",
                    where="CheckLimits",
                    value=dict(zip(names, values, strict=True)),
                    expected=" <= ".join(names),
                )

    def source_of(self, *names: str) -> str:
        """Where limits come from: the source of the first, or `YOURS` where one differs from its default."""
        own = {one.name: one for one in fields(self)}
        if any(getattr(self, name) != own[name].default for name in names):
            return YOURS
        return str(own[names[0]].metadata["source"])

    def spot_volume_of(self, base_asset: str) -> float | None:
        """The limit of the median spot volume per bar for a base asset; None where there is none."""
        if self.spot_volume_base is None:
            return BTC_SPOT_VOLUME if base_asset == "BTC" else None
        return self.spot_volume_base


_IN_ORDER = (
    ("volume_ratio_min", "volume_ratio_max", "volume_ratio_high"),
    ("basis_min_bps", "basis_max_bps"),
    ("stale_share_warn", "stale_share_fail"),
    ("hole_share_warn", "hole_share_fail"),
)


def _unusable(name: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"{name} cannot be a limit", where="CheckLimits", value=value, expected=expected)

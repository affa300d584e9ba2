"""The points of the checklist on hand-made facts: each status, and each limit from both sides."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields, replace
from typing import Any

import polars as pl
import pytest

from pointline.clock import DAY_US, HOUR_US, to_us
from pointline.costs import CostModel
from pointline.errors import ConfigError
from pointline.evaluation import STATUS_CODES, CheckFacts, CheckLimits, CheckPoint, SideFacts, check_points
from pointline.evaluation.check_limits import YOURS
from pointline.venues.fees import VenueFee

END = to_us("2024-05-03")
NAMES = [
    "volume_ratio",
    "spot_volume",
    "data_quality",
    "funding",
    "ic",
    "basis",
    "fees",
    "data_age",
    "holes",
    "flagged",
    "quarantined",
    "funding_interval",
    "selection",
]


def preset(taker_bps: float, *, read: dt.date = dt.date(2024, 5, 1)) -> VenueFee:
    return VenueFee(
        exchange="x",
        tier="non-VIP",
        taker_bps=taker_bps,
        maker_bps=None,
        as_of=read,
        valid_from_us=0,
        valid_until_us=END + DAY_US,
        source=f"[D] {taker_bps:g}",
    )


def side(**changes: Any) -> SideFacts:  # noqa: ANN401 -- whatever the fields hold
    clean = SideFacts(rows=10_000, covered_share=1.0, missing_ids=0, flagged=0, flagged_in_bars=False, quarantined=0, fee=preset(5.0))
    return replace(clean, **changes)


def bars(count: int = 100, **columns: Any) -> pl.DataFrame:  # noqa: ANN401 -- whatever the fields hold
    """Bars without a flaw, with other columns where the test wants them."""
    values: dict[str, Any] = {
        "spot_volume": 10.0,
        "funding_close": 0.0001,
        "funding_source": "estimate",
        "funding_age_us": 500_000,
        "funding_interval_hours": 8.0,
        "funding_interval_source": "payment",
        **columns,
    }
    types = {
        "spot_volume": pl.Float64,
        "funding_close": pl.Float64,
        "funding_source": pl.String,
        "funding_age_us": pl.Int64,
        "funding_interval_hours": pl.Float64,
        "funding_interval_source": pl.String,
    }
    listed = {name: value if isinstance(value, list) else [value] * count for name, value in values.items()}
    return pl.DataFrame({name: pl.Series(name, value, dtype=types[name]) for name, value in listed.items()})


def facts(**changes: Any) -> CheckFacts:  # noqa: ANN401 -- whatever the fields hold
    """Facts that pass each point that they can."""
    values: dict[str, Any] = {
        "bars": bars(),
        "basis_bps": pl.Series([1.0, -2.0, None, 3.0], dtype=pl.Float64),
        "perp_volume": 1_000.0,
        "spot_volume": 100.0,
        "base_asset": "BTC",
        "uneven_days": 0,
        "dual": False,
        "null_shares": {"basis_bps": 0.001, "volume_ratio": 0.002},
        "untold": (),
        "stale_share": 0.0,
        "pays_funding": True,
        "perp": side(),
        "spot": side(fee=preset(10.0)),
        "costs": CostModel(),
        "end_us": END,
        "evaluation": evaluated((0.06, True, 0.055)),
        "trials": 1,
        **changes,
    }
    return CheckFacts(**values)


def evaluated(*rows: tuple[float | None, bool, float | None]) -> pl.DataFrame:
    listed = [(f"f{n}", "spot_fwd_ret_5bar", *row) for n, row in enumerate(rows)]
    schema = {"feature": pl.String, "label": pl.String, "ic": pl.Float64, "significant": pl.Boolean, "ic_out": pl.Float64}
    return pl.DataFrame(listed, schema=schema, orient="row")


def point(name: str, limits: CheckLimits | None = None, **changes: Any) -> CheckPoint:  # noqa: ANN401 -- whatever the fields hold
    (found,) = [one for one in check_points(facts(**changes), limits or CheckLimits()) if one.name == name]
    return found


def test_facts_without_a_flaw_pass_every_point() -> None:
    found = check_points(facts(), CheckLimits())
    assert [one.name for one in found] == NAMES
    assert {one.status for one in found} == {"pass"}
    assert all(one.threshold and one.advice.endswith(".") and one.source and one.unit for one in found)


def test_the_points_are_the_same_where_nothing_is_known() -> None:
    nothing = facts(
        bars=bars(0),
        basis_bps=pl.Series([], dtype=pl.Float64),
        perp_volume=None,
        spot_volume=None,
        null_shares={},
        perp=side(fee=None),
        spot=side(fee=None),
        evaluation=None,
        trials=None,
    )
    found = check_points(nothing, CheckLimits())
    assert [one.name for one in found] == NAMES
    unknown = ["volume_ratio", "spot_volume", "data_quality", "funding", "ic", "basis", "fees", "funding_interval", "selection"]
    assert [one.name for one in found if one.status == "unknown"] == unknown
    assert all(one.value is None for one in found if one.name in unknown)


# The guide: 5 to 15 on the checklist, above 20 "spot might have insufficient data".
@pytest.mark.parametrize(
    ("perp_volume", "status"), [(499.9, "fail"), (500, "pass"), (1_500, "pass"), (1_500.1, "warn"), (2_000, "warn"), (2_000.1, "fail")]
)
def test_volume_ratio(perp_volume: float, status: str) -> None:
    found = point("volume_ratio", perp_volume=perp_volume, spot_volume=100.0)
    assert (found.status, found.value) == (status, perp_volume / 100)


def test_a_low_ratio_is_what_a_dual_spine_is_for() -> None:
    assert "dual spine" in point("volume_ratio", perp_volume=100.0).advice
    assert point("volume_ratio", perp_volume=100.0, dual=True).status == "pass"
    assert point("volume_ratio", perp_volume=2_500.0, dual=True).status == "fail"


def test_a_ratio_that_cannot_be_told() -> None:
    assert point("volume_ratio", spot_volume=0.0).status == "fail"
    assert point("volume_ratio", perp_volume=None).status == "unknown"
    uneven = point("volume_ratio", uneven_days=2)
    assert (uneven.status, uneven.value) == ("unknown", None)
    assert "2 days" in uneven.advice


@pytest.mark.parametrize(
    ("volumes", "status", "median"),
    [([4.0, 5.0, 6.0], "fail", 5.0), ([4.0, 5.01, 6.0], "pass", 5.01), ([0.0, 5.0, 5.5, 9.0], "pass", 5.25)],
)
def test_median_spot_volume(volumes: list[float], status: str, median: float) -> None:
    found = point("spot_volume", bars=bars(len(volumes), spot_volume=volumes))
    assert (found.status, found.value, found.unit) == (status, median, "BTC")


def test_the_spot_volume_of_other_assets_needs_a_limit_of_its_own() -> None:
    unset = point("spot_volume", base_asset="ETH")
    assert (unset.status, unset.unit) == ("unknown", "ETH")
    assert "spot_volume_base" in unset.advice
    mine = point("spot_volume", CheckLimits(spot_volume_base=9.9), base_asset="ETH")
    assert (mine.status, mine.threshold, mine.source) == ("pass", "> 9.9", YOURS)
    assert point("spot_volume", CheckLimits(spot_volume_base=10.0), base_asset="ETH").status == "fail"


@pytest.mark.parametrize(("share", "status"), [(0.0099, "pass"), (0.01, "fail"), (0.5, "fail")])
def test_nulls_of_the_worst_joined_feature(share: float, status: str) -> None:
    found = point("data_quality", null_shares={"basis_bps": 0.0, "flow_divergence": share})
    assert (found.status, found.value) == (status, share)
    assert ("flow_divergence" in found.advice) == (status == "fail")


def test_a_limit_of_1_allows_any_nulls() -> None:
    assert point("data_quality", CheckLimits(null_share=1.0), null_shares={"basis_bps": 1.0}).status == "pass"
    assert point("data_quality", CheckLimits(null_share=0.99), null_shares={"basis_bps": 1.0}).status == "fail"


def test_what_the_data_cannot_give_is_said() -> None:
    assert "cannot give volatility_ratio" in point("data_quality", untold=("volatility_ratio",)).advice


@pytest.mark.parametrize(("missing", "status"), [(0, "pass"), (1, "pass"), (2, "fail"), (100, "fail")])
def test_bars_without_funding(missing: int, status: str) -> None:
    found = point("funding", bars=bars(funding_close=[None] * missing + [0.0001] * (100 - missing)))
    assert (found.status, found.value) == (status, missing / 100)
    assert ("Ingest funding" in found.advice) == (missing == 100)


@pytest.mark.parametrize(
    ("source", "hours", "age_us", "current"),
    [
        ("settled", 8.0, int(8.8 * HOUR_US), True),
        ("settled", 8.0, int(8.8 * HOUR_US) + 1, False),
        ("settled", 4.0, int(4.4 * HOUR_US) + 1, False),
        ("settled", None, 20 * HOUR_US, True),  # what has no interval cannot be late; the state's own age limit holds
        ("estimate", 8.0, 20 * HOUR_US, True),  # as above
    ],
)
def test_a_payment_older_than_its_interval_is_not_current(source: str, hours: float | None, age_us: int, current: bool) -> None:
    found = point("funding", bars=bars(funding_source=source, funding_interval_hours=hours, funding_age_us=age_us))
    assert (found.status, found.value) == (("pass", 0.0) if current else ("fail", 1.0))


def test_a_dated_future_has_no_funding() -> None:
    for name in ("funding", "funding_interval"):
        found = point(name, pays_funding=False)
        assert (found.status, found.value) == ("unknown", None)


@pytest.mark.parametrize(
    ("rows", "status", "value"),
    [
        ([(0.06, True, 0.0501)], "pass", 0.0501),
        ([(-0.06, True, 0.0501)], "pass", 0.0501),  # times the sign
        ([(0.06, True, 0.05)], "fail", 0.05),
        ([(0.06, False, 0.07)], "warn", 0.07),
        ([(0.06, False, 0.09), (0.06, True, 0.06)], "pass", 0.06),  # the value is that of the row which passes
        ([(0.06, True, 0.02), (0.06, False, 0.03)], "fail", 0.03),
        ([(-0.06, True, -0.08)], "fail", 0.0),  # the sign has turned
        ([(0.06, True, None), (0.06, True, float("nan"))], "unknown", None),
        ([], "unknown", None),
    ],
)
def test_information_coefficient_out_of_sample(rows: list[Any], status: str, value: float | None) -> None:
    found = point("ic", evaluation=evaluated(*rows))
    assert (found.status, found.value) == (status, value)


def test_without_an_evaluation_the_advice_says_how_to_get_one() -> None:
    found = point("ic", evaluation=None)
    assert (found.status, found.value) == ("unknown", None)
    assert "evaluation=" in found.advice


@pytest.mark.parametrize(
    ("values", "status", "value"),
    [
        ([-50.0, 100.0], "pass", 0.0),
        ([0.0] * 99 + [100.1], "warn", 0.01),
        ([0.0] * 98 + [100.1, -50.1], "fail", 0.02),
        ([None, None], "unknown", None),
        ([None] * 99 + [0.0] * 99 + [500.0], "warn", 0.01),  # nulls do not count
    ],
)
def test_where_the_basis_lies(values: list[float | None], status: str, value: float | None) -> None:
    found = point("basis", basis_bps=pl.Series(values, dtype=pl.Float64))
    assert (found.status, found.value) == (status, value)


@pytest.mark.parametrize(
    ("perp", "spot", "status", "value"),
    [
        (5.0, 10.0, "pass", 0.0),
        (6.0, 12.0, "pass", 1.0),
        (4.9, 10.0, "fail", -0.1),
        (5.0, 9.0, "fail", -1.0),
    ],
)
def test_fees_of_the_model_against_the_presets(perp: float, spot: float, status: str, value: float) -> None:
    found = point("fees", costs=CostModel(perp_taker_bps=perp, spot_taker_bps=spot))
    assert found.status == status
    assert found.value == pytest.approx(value)
    assert ("perp" in found.advice) == (perp < 5)


@pytest.mark.parametrize(
    ("read", "status"),
    [
        (dt.date(2023, 5, 4), "pass"),  # 365 days before 2024-05-03
        (dt.date(2023, 5, 3), "warn"),
        (dt.date(2025, 5, 3), "pass"),  # 365 days after it
        (dt.date(2025, 5, 4), "warn"),
    ],
)
def test_fees_read_long_before_or_after_the_window(read: dt.date, status: str) -> None:
    assert point("fees", spot=side(fee=preset(10.0, read=read))).status == status


def test_a_leg_without_a_preset_is_unknown_but_the_other_one_can_fail() -> None:
    found = point("fees", spot=side(fee=None))
    assert (found.status, found.value) == ("unknown", 0.0)
    assert "spot leg" in found.advice
    assert point("fees", spot=side(fee=None), costs=CostModel(perp_taker_bps=1.0)).status == "fail"
    assert point("fees", spot=side(fee=None), perp=side(fee=None)).value is None


def test_the_fee_point_names_where_the_presets_were_read() -> None:
    assert point("fees").source == "[D] 5; [D] 10"


@pytest.mark.parametrize(("share", "status"), [(0.01, "pass"), (0.0101, "warn"), (0.1, "warn"), (0.101, "fail")])
def test_share_of_stale_bars(share: float, status: str) -> None:
    assert (point("data_age", stale_share=share).status, point("data_age", stale_share=share).value) == (status, share)


@pytest.mark.parametrize(("covered", "status"), [(1.0, "pass"), (0.9995, "pass"), (0.995, "warn"), (0.98, "fail")])
def test_share_of_the_window_that_the_worse_side_does_not_cover(covered: float, status: str) -> None:
    found = point("holes", perp=side(covered_share=covered))
    assert found.status == status
    assert found.value == pytest.approx(1 - covered)
    assert ("perp" in found.advice) == (status != "pass")


def test_missing_ids_are_a_warning() -> None:
    found = point("holes", perp=side(missing_ids=3), spot=side(missing_ids=1))
    assert (found.status, found.value) == ("warn", 0.0)
    assert found.advice.startswith("4 trades are missing")


@pytest.mark.parametrize("name", ["flagged", "quarantined"])
@pytest.mark.parametrize(("count", "status"), [(0, "pass"), (1, "warn"), (9, "warn"), (11, "fail")])
def test_rows_set_apart_on_the_worse_side(name: str, count: int, status: str) -> None:
    found = point(name, perp=side(**{name: count}), spot=side(**{name: min(count, 1)}))
    assert found.status == status
    total = 10_000 + count if name == "quarantined" else 10_000
    assert found.value == pytest.approx(count / total)


def test_flagged_prints_at_the_limit_and_inside_the_bars() -> None:
    assert point("flagged", perp=side(flagged=10)).status == "warn"
    assert "leave them out" in point("flagged", perp=side(flagged=10)).advice
    assert "include_off_book" in point("flagged", perp=side(flagged=10, flagged_in_bars=True)).advice


@pytest.mark.parametrize(
    ("hours", "status", "value"),
    [
        ([8.0] * 4, "pass", 0),
        ([8.0, 8.0, 4.0, 4.0], "warn", 1),
        ([8.0, 4.0, 8.0, 8.0], "warn", 2),
        ([8.0, None, None, 8.0], "pass", 0),
        ([8.0, None, 4.0, 4.0], "warn", 1),
        ([None] * 4, "unknown", None),
    ],
)
def test_changes_of_the_funding_interval(hours: list[float | None], status: str, value: int | None) -> None:
    found = point("funding_interval", bars=bars(4, funding_interval_hours=hours))
    assert (found.status, found.value) == (status, value)


def test_an_assumed_interval_is_unknown() -> None:
    assert point("funding_interval", bars=bars(funding_interval_source="default")).status == "unknown"


@pytest.mark.parametrize(
    ("trials", "rows", "status", "threshold"),
    [(1, None, "pass", "<= 1"), (2, None, "warn", "<= 1"), (3, 3, "pass", "<= 3"), (4, 3, "warn", "<= 3"), (None, 3, "unknown", "<= 3")],
)
def test_selection(trials: int | None, rows: int | None, status: str, threshold: str) -> None:
    evaluation = None if rows is None else evaluated(*[(0.06, True, 0.06)] * rows)
    found = point("selection", trials=trials, evaluation=evaluation)
    assert (found.status, found.value, found.threshold) == (status, trials, threshold)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "trials is not a number"),
        ({"trials": True}, "trials is not a number"),
        ({"trials": 2.5}, "trials is not a number"),
        ({"evaluation": evaluated().drop("ic_out")}, "evaluation lacks columns"),
        ({"evaluation": evaluated().cast({"ic_out": pl.String})}, "evaluation has columns of the wrong type"),
        ({"evaluation": evaluated().cast({"significant": pl.Int8})}, "evaluation has columns of the wrong type"),
        ({"evaluation": {"ic": [1.0]}}, "evaluation is not a frame"),
        ({"bars": bars().drop("spot_volume")}, "bars lacks columns"),
    ],
)
def test_wrong_facts_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        facts(**changes)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"null_share": 1.01}, "null_share cannot be a limit"),
        ({"null_share": -0.01}, "null_share cannot be a limit"),
        ({"ic": float("nan")}, "ic cannot be a limit"),
        ({"ic": "0.1"}, "ic cannot be a limit"),
        ({"ic": None}, "ic cannot be a limit"),
        ({"ic": True}, "ic cannot be a limit"),
        ({"fee_age_days": -1.0}, "fee_age_days cannot be a limit"),
        ({"volume_ratio_min": 16.0}, "wrong order"),
        ({"volume_ratio_high": 14.0}, "wrong order"),
        ({"basis_min_bps": 101.0}, "wrong order"),
        ({"stale_share_warn": 0.2}, "wrong order"),
        ({"hole_share_fail": 0.0001}, "wrong order"),
    ],
)
def test_wrong_limits_are_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CheckLimits(**limits)


def test_the_guides_limits_are_the_defaults() -> None:
    limits = CheckLimits()
    assert (limits.volume_ratio_min, limits.volume_ratio_max, limits.volume_ratio_high) == (5, 15, 20)
    assert (limits.spot_volume_of("BTC"), limits.null_share, limits.ic) == (5, 0.01, 0.05)
    assert (limits.basis_min_bps, limits.basis_max_bps) == (-50, 100)
    assert all(one.metadata["source"] for one in fields(limits))


def test_a_limit_of_the_users_own_is_called_so() -> None:
    assert point("basis", CheckLimits(basis_max_bps=50.0)).source == YOURS
    assert point("basis").source == "perp-spot guide, Validation Checklist"


def test_every_status_has_a_number() -> None:
    assert STATUS_CODES == {"pass": 0, "warn": 1, "fail": 2, "unknown": 3}

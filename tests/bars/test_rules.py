"""The table of bar kinds: each entry says enough, and a kind that does not is one clear error."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest

from pointline.bars.rules import BAR_KINDS, BarRule, VolumeBarConfig, rule_of
from pointline.errors import ConfigError


@pytest.mark.parametrize("kind", BAR_KINDS)
def test_every_kind_has_a_threshold_and_a_way_to_choose_one(kind: str) -> None:
    rule = rule_of(kind).of("1m" if kind == "time" else Decimal(5))
    assert rule.threshold == ("1m" if kind == "time" else Decimal(5))
    assert (rule.daily_share is None) == (kind == "time")


def test_a_kind_without_its_own_times_is_an_error_and_not_one_long_bar() -> None:
    @dataclass(frozen=True)
    class Unfinished(BarRule):
        kind = "unfinished"
        threshold_field = "every"
        unit = "time"

        every: str

    with pytest.raises(ConfigError, match="Unfinished does not say when bars close"):
        Unfinished("1m").closes(1_714_521_600_000_000, 1_714_608_000_000_000)
    with pytest.raises(ConfigError, match="Unfinished has no automatic threshold"):
        Unfinished.automatic()
    with pytest.raises(ConfigError, match="VolumeBarConfig does not say"):
        VolumeBarConfig(1).closes(1_714_521_600_000_000, 1_714_608_000_000_000)


def test_an_unknown_kind_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="no such kind") as caught:
        rule_of("tick")
    assert "volume, dollar, trades, time, imbalance" in str(caught.value)

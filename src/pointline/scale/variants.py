"""`pointline.sweep` over days and pairs: several rules and parameters in one dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.bars.request import TRADES
from pointline.errors import ConfigError
from pointline.scale.comparison import plan_compare
from pointline.scale.plan import DAYS_PER_TASK
from pointline.scale.run import run_plan
from pointline.scale.task import ScaleOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointline.bars.rules import BarRule
    from pointline.clock import TimeLike
    from pointline.costs import CostModel
    from pointline.features import FeatureParams
    from pointline.lake.store import LakeLike
    from pointline.progress import Progress
    from pointline.scale.cluster import ClusterLike
    from pointline.scale.dataset import ScaledDataset
    from pointline.state.attach import StateParams
    from pointline.studies.study import Join


def sweep(
    markets: str | Sequence[str | tuple[str, str]],
    *,
    start: TimeLike,
    end: TimeLike,
    output: str | Path,
    bars: Sequence[BarRule | str],
    params: Sequence[FeatureParams] | None = None,
    cluster: ClusterLike = None,
    events: str = TRADES,
    join: Join = "asof",
    costs: CostModel | str | None = None,
    state: StateParams | None = None,
    lake: LakeLike | None = None,
    cache: bool = True,
    include_off_book: bool = False,
    days_per_task: int = DAYS_PER_TASK,
    memory: str | int | None = None,
    progress: Progress = False,
) -> ScaledDataset:
    """`pointline.scale.compare` for several rules and parameters: each combination is a case of the dataset.

    Args:
        bars: the rules.
        params: the parameters of the features; the defaults if None.
        markets, start, end, output, cluster, events, join, costs, state, lake, cache, include_off_book, days_per_task, memory, progress:
            as for `pointline.scale.compare`.

    Returns:
        The complete dataset; ``cases`` says which number is which rule, the rules in their order, each with all parameters.

    Raises:
        PointlineError: as `pointline.scale.compare`; a rule is given twice.

    Examples:
        >>> from pointline import scale
        >>> from pointline.research.spines import TimeBarConfig
        >>> made = scale.sweep(
        ...     [("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")],
        ...     start="2024-05-01",
        ...     end="2024-05-02",
        ...     bars=[TimeBarConfig("1h"), TimeBarConfig("4h")],
        ...     output="two-rules",
        ...     lake="out/demo/lake",
        ... )
        >>> made.cases["rows"].to_list()
        [24, 6]
    """
    for name, given in (("bars", bars), ("params", params)):
        if given is not None and not (isinstance(given, list | tuple) and given):
            raise ConfigError(
                f"a sweep takes a list of {name}", where=name, value=given, expected="[VolumeBarConfig(50), VolumeBarConfig(100)]"
            )
    plan = plan_compare(
        markets,
        window=(start, end),
        rules=list(bars),
        params=[None] if params is None else list(params),
        costs=costs,
        lake=lake,
        days_per_task=days_per_task,
        options=ScaleOptions(join=join, events=events, state=state, include_off_book=include_off_book, cache=cache),
        verb="sweep",
    )
    return run_plan(plan, output, cluster=cluster, memory=memory, progress=progress)

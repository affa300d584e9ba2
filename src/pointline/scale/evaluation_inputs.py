"""Features with their labels over days and pairs: the tables that an evaluation reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.bars.request import TRADES
from pointline.features.labels import label_names
from pointline.scale.comparison import plan_compare
from pointline.scale.plan import DAYS_PER_TASK
from pointline.scale.run import run_plan
from pointline.scale.task import LabelWork, ScaleOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointline.bars.rules import BarRule
    from pointline.clock import DurationLike, TimeLike
    from pointline.costs import CostModel
    from pointline.features import FeatureParams
    from pointline.lake.store import LakeLike
    from pointline.progress import Progress
    from pointline.scale.cluster import ClusterLike
    from pointline.scale.dataset import ScaledDataset
    from pointline.state.attach import StateParams
    from pointline.studies.study import Join


def ic(
    markets: str | Sequence[str | tuple[str, str]],
    *,
    start: TimeLike,
    end: TimeLike,
    output: str | Path,
    bars: BarRule | str = "auto",
    horizons_bars: Sequence[int] = (1, 5, 10),
    horizons_us: Sequence[DurationLike] = (),
    cluster: ClusterLike = None,
    events: str = TRADES,
    join: Join = "asof",
    costs: CostModel | str | None = None,
    params: FeatureParams | None = None,
    state: StateParams | None = None,
    lake: LakeLike | None = None,
    cache: bool = True,
    include_off_book: bool = False,
    days_per_task: int = DAYS_PER_TASK,
    memory: str | int | None = None,
    progress: Progress = False,
) -> ScaledDataset:
    """`pointline.scale.compare` with what happened afterwards beside each bar, for an evaluation of many pairs and days.

    The columns behind the features are those of `pointline.features.forward_labels`, equal to what one window gives, bit for bit: a task
    also counts the days behind its own that its labels reach into. They are known later than their rows, and are never features.

    Args:
        horizons_bars, horizons_us: as for `pointline.features.forward_labels`.
        markets, start, end, output, bars, cluster, events, join, costs, params, state, lake, cache, include_off_book, days_per_task,
            memory, progress: as for `pointline.scale.compare`.

    Returns:
        The complete dataset.

    Raises:
        PointlineError: as `pointline.scale.compare`; a horizon cannot be used.

    Examples:
        >>> from pointline import scale
        >>> from pointline.research.spines import TimeBarConfig
        >>> made = scale.ic(
        ...     [("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")],
        ...     start="2024-05-01",
        ...     end="2024-05-03",
        ...     bars=TimeBarConfig("1h"),
        ...     horizons_bars=(1,),
        ...     output="labelled",
        ...     lake="out/demo/lake",
        ... )
        >>> made.features().collect()["spot_forward_ret_1bar"].null_count()
        1
    """
    label_names(horizons_bars, horizons_us)
    plan = plan_compare(
        markets,
        window=(start, end),
        rules=[bars],
        params=[params],
        costs=costs,
        lake=lake,
        days_per_task=days_per_task,
        options=ScaleOptions(join=join, events=events, state=state, include_off_book=include_off_book, cache=cache),
        labels=LabelWork(horizons_bars=tuple(horizons_bars), horizons_us=tuple(horizons_us)),
        verb="ic",
    )
    return run_plan(plan, output, cluster=cluster, memory=memory, progress=progress)

"""`pointline.compare` over days, pairs and rules, on a cluster or in this process, into a dataset."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pointline.bars.request import TRADES
from pointline.clock import window_us
from pointline.errors import ConfigError
from pointline.scale.pins import held_lake
from pointline.scale.plan import DAYS_PER_TASK, ScalePlan, plan_cases, plan_days
from pointline.scale.run import run_plan
from pointline.scale.task import ScaleOptions
from pointline.studies.compare import check_choices
from pointline.studies.scan_pairs import scan_pairs

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
    from pointline.scale.task import LabelWork
    from pointline.state.attach import StateParams
    from pointline.studies.study import Join


def compare(
    markets: str | Sequence[str | tuple[str, str]],
    *,
    start: TimeLike,
    end: TimeLike,
    output: str | Path,
    bars: BarRule | str = "auto",
    cluster: ClusterLike = None,
    spot_bars: BarRule | None = None,
    base_bars: BarRule | None = None,
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
    """`pointline.compare` of many pairs and days, as tasks of a few days each, into a dataset of Parquet files.

    The rows of a pair are those of one `pointline.compare` of the whole window, bit for bit. The files' bytes do not depend on the number
    of workers. The call can be repeated: it computes only what is missing or damaged.

    Args:
        markets: pairs ``(perp, spot)``, perpetuals ``"exchange:symbol"``, or an exchange, as for `pointline.scan`.
        start, end: the window ``[start, end)``.
        output: folder of the dataset, or ``s3://BUCKET/PREFIX``: a new one, or one of the same call. All workers see a folder under
            this path.
        bars: when a bar closes; ``"auto"`` is settled once per pair, for the whole window.
        cluster: None or ``"none"`` works in this process; ``"local:4"`` starts four processes; an address such as
            ``"tcp://scheduler:8786"`` or a `distributed.Client` uses a cluster that runs.
        spot_bars, base_bars, events, join, costs, params, state, lake, cache, include_off_book: as for `pointline.compare`.
        days_per_task: days of a task. Fewer spread better; each task also counts the day in front of its own.
        memory: limit of each worker of a local cluster, e.g. ``"2GB"``.
        progress: True shows a line of progress; a function is called with the tasks that are done, all tasks, and the last file.

    Returns:
        The complete dataset.

    Raises:
        ConfigError: an argument cannot be used, or the folder holds another dataset.
        NoDataError: a side of a pair has nothing in the window.
        MissingExtraError: Dask is not installed.
        ClusterError: tasks failed, or the cluster ended or does not fit; the same call goes on.
        BusyError: another run fills the folder.

    Examples:
        >>> from pointline import scale
        >>> from pointline.research.spines import TimeBarConfig
        >>> pair = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
        >>> made = scale.compare(
        ...     [pair],
        ...     start="2024-05-01",
        ...     end="2024-05-03",
        ...     bars=TimeBarConfig("1h"),
        ...     output="by-day",
        ...     days_per_task=1,
        ...     lake="out/demo/lake",
        ... )
        >>> made.files.select("path", "rows").rows()[1]
        ('data/perp=binance-futures%3ABTCUSDT/spot=binance-spot%3ABTCUSDT/case=0/2024-05-02.parquet', 24)
    """
    plan = plan_compare(
        markets,
        window=(start, end),
        rules=[bars],
        params=[params],
        costs=costs,
        lake=lake,
        days_per_task=days_per_task,
        options=ScaleOptions(
            join=join,
            events=events,
            state=state,
            spot_bars=spot_bars,
            base_bars=base_bars,
            include_off_book=include_off_book,
            cache=cache,
        ),
    )
    return run_plan(plan, output, cluster=cluster, memory=memory, progress=progress)


def plan_compare(
    markets: str | Sequence[str | tuple[str, str]],
    *,
    window: tuple[TimeLike, TimeLike],
    rules: Sequence[BarRule | str],
    params: Sequence[FeatureParams | None],
    costs: CostModel | str | None,
    lake: LakeLike | None,
    days_per_task: int,
    options: ScaleOptions,
    labels: LabelWork | None = None,
    verb: str = "compare",
) -> ScalePlan:
    """The plan of `compare`, of `sweep` and of `ic`; no task runs.

    Args:
        markets, costs, lake, days_per_task: as for `compare`.
        window: start and end.
        rules, params: every combination is a case.
        options: how every case is computed.
        labels: horizons of labels beside the features.
        verb: what the dataset calls itself.

    Raises:
        ConfigError: an argument cannot be used.
        NoDataError: a side of a pair has nothing in the window.
    """
    window_of = window_us(*window)
    for one in params:
        check_choices(options.join, None, (options.spot_bars, options.base_bars), params=one, state=options.state)
    if not rules:
        raise ConfigError("no rules are given", where="bars", value=rules, expected="one or more")
    held, place = held_lake(lake)
    with warnings.catch_warnings(action="ignore"):  # the plan's notes say the same
        pairs = scan_pairs(held, markets, *window_of)
        cases, notes = plan_cases(held, pairs, window_of, rules=rules, params=params, costs=costs, options=options)
    tasks = plan_days(held, cases, window_of, options, days_per_task=days_per_task, labels=labels)
    versions = {kind: held.newest_version(kind) for kind in held.kinds()}
    return ScalePlan(verb, tuple(tasks), window_of, place, versions, tuple(notes))

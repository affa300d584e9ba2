"""`pointline.scan` on a cluster: a pair is a task."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pointline.clock import window_us
from pointline.errors import ConfigError, PointlineError
from pointline.lake.paths import encode_name
from pointline.scale.pins import held_lake
from pointline.scale.plan import ScalePlan, check_registry, check_rule
from pointline.scale.run import run_plan
from pointline.scale.scan_row import pinned_pair
from pointline.scale.task import DATA, FORMAT, ScaleOptions, ScaleTask, ScanRowWork, digest, own_versions, plain
from pointline.studies.scan import DEFAULT_BARS, ScanOptions, check_scan
from pointline.studies.scan_pairs import ScanPair, scan_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointline.bars.rules import BarRule
    from pointline.clock import TimeLike
    from pointline.costs import CostModel
    from pointline.evaluation.check_limits import CheckLimits
    from pointline.features import FeatureParams
    from pointline.lake.store import Lake, LakeLike
    from pointline.progress import Progress
    from pointline.scale.cluster import ClusterLike
    from pointline.scale.dataset import ScaledDataset
    from pointline.state.attach import StateParams


def scan(
    markets: str | Sequence[str | tuple[str, str]],
    *,
    start: TimeLike,
    end: TimeLike,
    output: str | Path,
    bars: BarRule | str = DEFAULT_BARS,
    events: str = "candles_1m",
    cluster: ClusterLike = None,
    costs: CostModel | str | None = None,
    params: FeatureParams | None = None,
    state: StateParams | None = None,
    limits: CheckLimits | None = None,
    lake: LakeLike | None = None,
    cache: bool = True,
    memory: str | int | None = None,
    progress: Progress = False,
) -> ScaledDataset:
    """`pointline.scan` with a task per pair; `ScaledDataset.table` gives its table.

    The features of many pairs are what `pointline.scale.compare` of the same markets writes.

    Args:
        markets, start, end, bars, events, costs, params, state, limits, lake, cache: as for `pointline.scan`.
        output, cluster, memory, progress: as for `pointline.scale.compare`.

    Returns:
        The complete dataset.

    Raises:
        ConfigError: an argument cannot be used, or the folder holds another dataset.
        NoDataError: the lake has no perpetual of the exchange in the window.
        ClusterError: tasks failed, or the cluster ended or does not fit; the same call goes on.

    Examples:
        >>> from pointline import scale
        >>> window = {"start": "2024-05-01", "end": "2024-05-03"}
        >>> made = scale.scan("binance-futures", **window, events="trades", output="pairs", lake="out/demo/lake")
        >>> made.table().select("perp", "spot", "status", "checklist").row(0)
        ('binance-futures:BTCUSDT', 'binance-spot:BTCUSDT', 'compared', 'fail')
    """
    check_registry()
    check_rule(bars)
    options = ScanOptions(*window_us(start, end), bars, events, costs, params, state, cache)
    check_scan(options, "perp", limits, None, None)
    held, place = held_lake(lake)
    with warnings.catch_warnings(action="ignore"):  # the notes of the rows say the same
        pairs = scan_pairs(held, markets, options.start_us, options.end_us)
    tasks = [_task(held, pair, options, limits) for pair in pairs]
    paths = [one.path for one in tasks]
    if len(set(paths)) != len(paths):
        raise ConfigError("a pair is given twice", where="markets", value=markets, expected="each pair once")
    versions = {kind: held.newest_version(kind) for kind in held.kinds()}
    plan = ScalePlan("scan", tuple(tasks), (options.start_us, options.end_us), place, versions, asked={"scan": plain(options)})
    return run_plan(plan, output, cluster=cluster, memory=memory, progress=progress)


def _task(lake: Lake, pair: ScanPair, options: ScanOptions, limits: CheckLimits | None) -> ScaleTask:
    try:
        pinned = pinned_pair(lake, pair, options.start_us, options.end_us)
    except PointlineError as error:
        pair, pinned = ScanPair(pair.perp, None, error.what), None
    work = ScanRowWork(pair=pair, options=options, limits=limits, pinned=pinned)
    window = options.start_us, options.end_us
    made_from = [FORMAT, own_versions(), pair, options._replace(cache=True), limits, pinned]
    return ScaleTask(
        key=digest(made_from),
        path=f"{DATA}/perp={encode_name(pair.perp)}/spot={encode_name(pair.spot or 'none')}/row.parquet",
        start_us=window[0],
        end_us=window[1],
        window_us=window,
        work=work,
        options=ScaleOptions(events=options.events, state=options.state, cache=options.cache),
    )

"""A plan: which tasks make a dataset. It reads the lake's listings and writes nothing; no cluster is needed for it.

A task is a pair, a rule with parameters, and some whole days. Bars that are counted by the day do not depend on the days before, and every
feature states how many bars it looks back on, so a task counts the day in front of its own too and the files together equal one
`pointline.compare` of the whole window, bit for bit. Where that does not hold, a task is a pair's whole window:

- ``anchor="start"`` counts from the window's start, in the rule, the spot's own rule, or the base rule;
- bars of candles: their files are months, and a pair takes a second.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pointline.bars.adaptive import ADAPTIVE_KINDS, AdaptiveBars
from pointline.bars.request import TRADES
from pointline.bars.rules import BAR_KINDS, BarRule
from pointline.bars.trailing import check_decided
from pointline.clock import DAY_US, date_text, days_in, is_whole
from pointline.errors import ConfigError, NoDataError
from pointline.features import FEATURES
from pointline.features.registry import BUILT_IN
from pointline.lake.paths import encode_name
from pointline.scale.pins import pinned_files
from pointline.scale.task import DATA, FORMAT, ScaledCase, ScaleOptions, ScaleTask, digest, own_versions, plain
from pointline.studies.compare import settle
from pointline.studies.coverage import missing_days_note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.costs import CostModel
    from pointline.features import FeatureParams
    from pointline.instruments import Pair
    from pointline.lake.store import Lake
    from pointline.scale.task import LabelWork
    from pointline.studies.compare import Settled
    from pointline.studies.scan_pairs import ScanPair

DAYS_PER_TASK = 7
"""Days of a task where nothing else is said: the day in front of them is counted too, which then costs a seventh."""


@dataclass(frozen=True)
class ScalePlan:
    """What a dataset is made of.

    Attributes:
        verb: ``"compare"``, ``"sweep"``, ``"ic"`` or ``"scan"``.
        tasks: in the order of the dataset.
        window_us: the window.
        lake: folder of the lake.
        table_versions: of the lake's tables when the plan was made.
        notes: what a reader should know.
        asked: further facts for the dataset's readers.
    """

    verb: str
    tasks: tuple[ScaleTask, ...]
    window_us: tuple[int, int]
    lake: str
    table_versions: dict[str, int | None]
    notes: tuple[str, ...] = ()
    asked: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Hash of everything that the dataset's bytes depend on."""
        return digest([self.verb, [one.key for one in self.tasks], self.asked])

    def cases(self) -> list[ScaledCase]:
        """The pairs with their rules, in order."""
        found = {id(one.work): one.work for one in self.tasks if isinstance(one.work, ScaledCase)}
        return list(found.values())

    def told(self) -> dict[str, Any]:
        """The plan as the dataset's folder shows it, JSON-ready."""
        return {
            "key": self.key,
            "format": FORMAT,
            "verb": self.verb,
            "window_us": list(self.window_us),
            "versions": own_versions(),
            "lake": {"folder": self.lake, "tables": self.table_versions},
            "tasks": len(self.tasks),
            "cases": [_told_case(one) for one in self.cases()],
            "options": plain(self.tasks[0].options) if self.tasks else None,
            "notes": list(self.notes),
            **self.asked,
        }


def _told_case(case: ScaledCase) -> dict[str, Any]:
    settled = case.settled
    return {
        "perp": case.perp,
        "spot": case.spot,
        "case": case.number,
        "folder": case_folder(case),
        "rule": settled.rule.text,
        "rule_note": settled.rule_note,
        "params": plain(settled.params),
        "lake_files": case.pinned,
    }


def plan_cases(
    lake: Lake,
    pairs: Sequence[ScanPair],
    window_us: tuple[int, int],
    *,
    rules: Sequence[BarRule | str],
    params: Sequence[FeatureParams | None],
    costs: CostModel | str | None,
    options: ScaleOptions,
) -> tuple[list[ScaledCase], list[str]]:
    """Each pair with each rule and parameters, settled for the whole window, and what is to be said of them.

    Raises:
        PointlineError: as `pointline.compare`; no pair can be compared.
    """
    check_registry()
    for rule in (*rules, options.spot_bars, options.base_bars):
        check_rule(rule)
    notes = [f"{pair.perp} is left out: {pair.reason}" for pair in pairs if pair.spot is None]
    usable = [pair for pair in pairs if pair.spot is not None]
    if not usable:
        raise NoDataError("no pair can be compared", value="; ".join(notes))
    cases = []
    for one in usable:
        variants = [(rule, param) for rule in rules for param in params]
        for number, (rule, param) in enumerate(variants):
            settled = settle(
                lake, one.perp, str(one.spot), window_us, rule, costs=costs, params=param, events=options.events, in_memory=False
            )
            _check_thresholds(lake, settled, window_us, options)
            pinned = pinned_files(lake, (settled.pair.perp, settled.pair.spot), window_us[1])
            cases.append(ScaledCase(number=number, perp=one.perp, spot=str(one.spot), settled=settled, pinned=pinned))
            notes += [f"{one.perp}: {text}" for text in (*settled.notes, *_missing_days(lake, settled.pair, window_us, options))]
    twice = [what for what, count in Counter((one.perp, one.spot, digest(one.settled)) for one in cases).items() if count > 1]
    if twice:
        raise ConfigError("a rule with the same parameters is given twice", value=twice[0][:2], expected="each rule once")
    return cases, list(dict.fromkeys(notes))


def plan_days(
    lake: Lake,
    cases: Sequence[ScaledCase],
    window_us: tuple[int, int],
    options: ScaleOptions,
    *,
    days_per_task: int,
    labels: LabelWork | None = None,
) -> list[ScaleTask]:
    """The tasks of cases, in order of pair, case and time.

    Raises:
        ConfigError: `days_per_task` is no number of days.
        NoDataError: a side has no trades in the window.
    """
    if not is_whole(days_per_task) or days_per_task < 1:
        raise ConfigError("days_per_task is no number of days", value=days_per_task, expected="a whole number, 1 or more")
    tasks = []
    for case in cases:
        parts = parts_of(lake, case.settled.pair, window_us, days_per_task) if _counted_by_day(case, options) else [window_us]
        tasks += [task_of(case, part, window_us, options, labels) for part in parts]
    return tasks


def task_of(
    case: ScaledCase, part_us: tuple[int, int], window_us: tuple[int, int], options: ScaleOptions, labels: LabelWork | None
) -> ScaleTask:
    """The task of a part of the window."""
    made_from = [FORMAT, own_versions(), case, part_us, window_us, {**plain(options), "cache": None}, labels]
    return ScaleTask(
        key=digest(made_from),
        path=f"{case_folder(case)}/{date_text(part_us[0])}.parquet",
        start_us=part_us[0],
        end_us=part_us[1],
        window_us=window_us,
        work=case,
        options=options,
        labels=labels,
    )


def case_folder(case: ScaledCase) -> str:
    """Where the files of a case are, below the dataset's folder; readers of partitioned folders take the names as columns."""
    return f"{DATA}/perp={encode_name(case.perp)}/spot={encode_name(case.spot)}/case={case.number}"


def _counted_by_day(case: ScaledCase, options: ScaleOptions) -> bool:
    """Whether the bars of a day do not depend on the window."""
    rules = (case.settled.rule, options.spot_bars, options.base_bars)
    return options.events == TRADES and all(rule is None or rule.anchor == "day" for rule in rules)


def parts_of(lake: Lake, pair: Pair, window_us: tuple[int, int], days_per_task: int) -> list[tuple[int, int]]:
    """The window cut at midnights into parts of some days, of which each has trades of both sides.

    Days without trades of one side go with their neighbours.

    Raises:
        NoDataError: a side has no trades in the window.
    """
    start_us, end_us = window_us
    days = days_in(start_us, end_us)
    held = _held_days(lake, pair, window_us)
    for one, has in zip((pair.perp, pair.spot), held, strict=True):
        if not has:
            from pointline.lake.window_coverage import no_data

            raise no_data(lake, TRADES, one.exchange, one.exchange_symbol, start_us, end_us)
    cuts: list[int] = []
    missing = [True, True]
    for place, day in enumerate(days):
        if place and place % days_per_task == 0 and not any(missing):
            cuts.append(day)
            missing = [True, True]
        missing = [still and day not in has for still, has in zip(missing, held, strict=True)]
    if any(missing) and cuts:
        cuts.pop()
    edges = [start_us, *cuts, end_us]
    return list(pairwise(edges))


def _held_days(lake: Lake, pair: Pair, window_us: tuple[int, int]) -> list[set[int]]:
    """The days of the window of which perp and spot have trades."""
    days = days_in(*window_us)
    return [
        {file.start_us for file in lake.files(TRADES, one.exchange, one.exchange_symbol, days[0], days[-1] + DAY_US)}
        for one in (pair.perp, pair.spot)
    ]


def _check_thresholds(lake: Lake, settled: Settled, window_us: tuple[int, int], options: ScaleOptions) -> None:
    """Refuses thresholds that too few whole days decide before the first task runs.

    Raises:
        ConfigError: a day of the window has too few whole days before it.
    """
    if options.events == TRADES:
        days = sorted(_held_days(lake, settled.pair, window_us)[0])
        check_decided(settled.rule, lake, settled.pair.perp, days)


def _missing_days(lake: Lake, pair: Pair, window_us: tuple[int, int], options: ScaleOptions) -> list[str]:
    """A note for each side that lacks days."""
    if options.events != TRADES:
        return []
    missing = [[day for day in days_in(*window_us) if day not in has] for has in _held_days(lake, pair, window_us)]
    return [missing_days_note(side, days, TRADES) for side, days in zip(("perp", "spot"), missing, strict=True) if days]


def check_registry() -> None:
    """Refuses features that only this process has.

    Raises:
        ConfigError: a feature was registered here.
    """
    own = sorted(set(FEATURES) - BUILT_IN)
    if own:
        raise ConfigError(
            "features that were registered in this process are not known to workers",
            where="features",
            value=own,
            expected="built-in features",
            hint="unregister them, and compute them with compute_features(..., extra=[…]) from the dataset's bars",
        )


def check_rule(rule: object) -> None:
    """Refuses a rule that workers do not have.

    Raises:
        ConfigError: it is no rule of pointline.
    """
    if rule is None or (isinstance(rule, str) and rule.partition(":")[0] == "auto"):
        return
    kinds = [*BAR_KINDS.values(), *ADAPTIVE_KINDS.values()]
    if not isinstance(rule, BarRule) or type(rule) not in kinds or (isinstance(rule, AdaptiveBars) and rule.decider is not None):
        raise ConfigError(
            "a cluster takes bar rules of pointline only",
            where="bars",
            value=type(rule).__name__,
            expected=", ".join(sorted(one.__name__ for one in kinds)),
            hint="a spine of your own, or a rule class of your own, is for pointline.compare",
        )

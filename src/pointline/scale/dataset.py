"""A finished dataset, read back lazily."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.bars.trailing import THRESHOLD_SCHEMA, thresholds_of_text
from pointline.errors import ConfigError
from pointline.lake.places import SCHEME
from pointline.scale.folder import MANIFEST, PLAN, DatasetFolder
from pointline.studies.compare import THRESHOLDS

if TYPE_CHECKING:
    from pointline.scale.task import TaskRecord

_NAMES = ("perp", "spot", "case")
_DATASET_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """How one run went.

    Attributes:
        computed: tasks that were computed.
        kept: tasks whose files were there already, and whole.
        cpu_s: processor seconds of the computed tasks.
        most_worker_bytes: largest resident memory of a process that computed.
        elapsed_s: seconds of the whole run.
    """

    computed: int
    kept: int
    cpu_s: float
    most_worker_bytes: int
    elapsed_s: float


@dataclass(frozen=True, eq=False)
class ScaledDataset:
    """A complete dataset.

    Attributes:
        place: its folder, or its URL.
        plan: what it was made of: verb, window, versions, cases, options, notes.
        run: how the run that completed it went; None where it was only opened.
    """

    place: str
    plan: dict[str, Any] = field(repr=False)
    _records: tuple[TaskRecord, ...] = field(repr=False)
    run: RunFigures | None = None

    @property
    def root(self) -> Path:
        """Its folder.

        Raises:
            ConfigError: the dataset is in a bucket.
        """
        if self.place.startswith(SCHEME):
            raise ConfigError("a dataset in a bucket has no folder", value=self.place, hint="take .place, .features() or .scan()")
        return Path(self.place)

    @property
    def verb(self) -> str:
        """What made it: compare, sweep, ic or scan."""
        return str(self.plan["verb"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know."""
        return tuple(self.plan["notes"])

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(one.rows for one in self._records)

    @cached_property
    def files(self) -> pl.DataFrame:
        """One row per file: path below the folder, rows, bytes, sha256, key of its task."""
        columns = {"path": pl.String, "rows": pl.Int64, "bytes": pl.Int64, "sha256": pl.String, "key": pl.String}
        rows = [tuple(getattr(one, name) for name in columns) for one in self._records if one.rows]
        return pl.DataFrame(rows, schema=columns, orient="row")

    @cached_property
    def cases(self) -> pl.DataFrame:
        """One row per pair and rule: perp, spot, case (a number), rule in words, how its threshold was chosen, and rows."""
        columns = {"perp": pl.String, "spot": pl.String, "case": pl.Int64, "rule": pl.String, "rule_note": pl.String}
        told = pl.DataFrame([tuple(one[name] for name in columns) for one in self.plan["cases"]], schema=columns, orient="row")
        return told.with_columns(rows=pl.Series([sum(r.rows for r in self._of(one)) for one in self.plan["cases"]], dtype=pl.Int64))

    def features(self, perp: str | None = None, spot: str | None = None, case: int | None = None) -> pl.LazyFrame:
        """The rows of one pair and rule as `pointline.compare` gives them, lazily; no argument is needed where there is only one.

        Args:
            perp, spot: names of the pair, as in `cases`.
            case: number of the rule, as in `cases`.

        Raises:
            ConfigError: the arguments leave none, or several.
        """
        return self._scan(self._case(perp, spot, case))

    def _case(self, perp: str | None, spot: str | None, case: int | None) -> dict[str, Any]:
        given = {name: value for name, value in zip(_NAMES, (perp, spot, case), strict=True) if value is not None}
        found = [one for one in self.plan["cases"] if all(one[name] == value for name, value in given.items())]
        if len(found) != 1:
            raise ConfigError(
                "no case is so called" if not found else "several cases are so called",
                where="perp, spot, case",
                value=given or None,
                expected="one row of .cases",
                hint=f"the dataset has {len(self.plan['cases'])}",
            )
        return dict(found[0])

    def thresholds(self, perp: str | None = None, spot: str | None = None, case: int | None = None) -> pl.DataFrame:
        """The thresholds of one pair and rule, where they follow the market; no argument is needed where there is only one.

        Args:
            perp, spot, case: as for `features`.

        Returns:
            One row per day and segment, as `pointline.bars.trailing.threshold_table` gives them; no row of a rule of fixed thresholds.
            Days of a task without a whole bar are absent.

        Raises:
            ConfigError: the arguments leave none, or several.
        """
        keys = [one.path for one in self._of(self._case(perp, spot, case)) if one.rows]
        texts = [self._folder.files.footer(key).get(THRESHOLDS) for key in keys]
        return pl.concat([pl.DataFrame(schema=THRESHOLD_SCHEMA), *(thresholds_of_text(text) for text in texts if text is not None)])

    def scan(self) -> pl.LazyFrame:
        """All rows of features, lazily: ``perp``, ``spot`` and ``case`` in front; columns that a pair does not have are null."""
        frames = [
            self._scan(one).select(*(pl.lit(one[name]).alias(name) for name in _NAMES), pl.all())
            for one in self.plan["cases"]
            if any(r.rows for r in self._of(one))
        ]
        return pl.concat(frames, how="diagonal")

    def table(self, sort: str = "carry_net_bps") -> pl.DataFrame:
        """The table of a scan: one row per pair, as `pointline.scan` gives it.

        Args:
            sort: a column of it.

        Raises:
            ConfigError: there is no such column, or the dataset is of no scan.
        """
        from pointline.scale.scan_row import table_of_rows

        if self.verb != "scan":
            raise ConfigError("only a scan has a table of pairs", value=self.verb, expected="a dataset of scale.scan")
        contents = [self._folder.files.read(one.path) for one in self._records]
        if None in contents:
            self.check()
        return table_of_rows([one for one in contents if one is not None], sort)

    def check(self) -> None:
        """Reads every file and compares its bytes with the manifest.

        Raises:
            ConfigError: a file is missing or damaged; the same command as before makes it again.
        """
        bad = [one.path for one in self._records if not self._folder.holds(one)]
        if bad:
            raise ConfigError(
                f"{len(bad)} of {len(self._records)} files are missing or damaged",
                where=self.place,
                value=bad[:3],
                hint="run the command that made the dataset again: it computes these files alone",
            )

    @cached_property
    def _folder(self) -> DatasetFolder:
        return DatasetFolder.of(self.place)

    def _of(self, case: dict[str, Any]) -> list[TaskRecord]:
        return self._by_case.get(case["folder"], [])

    @cached_property
    def _by_case(self) -> dict[str, list[TaskRecord]]:
        found: dict[str, list[TaskRecord]] = {}
        for one in self._records:
            found.setdefault(one.path.rpartition("/")[0], []).append(one)
        return found

    def _scan(self, case: dict[str, Any]) -> pl.LazyFrame:
        keys = [one.path for one in self._of(case) if one.rows]
        return self._folder.files.scan(keys) if keys else pl.LazyFrame()


def open_dataset(path: str | Path) -> ScaledDataset:
    """Opens a complete dataset.

    Args:
        path: its folder or URL.

    Raises:
        ConfigError: there is no dataset, it is not complete, or its manifest is damaged.

    Examples:
        >>> from pointline import scale
        >>> from pointline.research.spines import TimeBarConfig
        >>> pair = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
        >>> made = scale.compare(
        ...     [pair], start="2024-05-01", end="2024-05-03", bars=TimeBarConfig("1h"), output="hours", lake="out/demo/lake"
        ... )
        >>> scale.open_dataset("hours").features().select("bucket_end", "basis_bps").collect().shape
        (48, 2)
    """
    folder = DatasetFolder.of(path)
    plan = folder.plan()
    if plan is None or "cases" not in plan:
        raise ConfigError("there is no dataset here", value=str(path), expected=f"a folder with {PLAN} and {MANIFEST}")
    if plan.get("format") != _DATASET_FORMAT:
        raise ConfigError(
            "another version of pointline wrote this dataset", where=folder.place, value=plan.get("format"), expected="format 1"
        )
    found = folder.manifest()
    if found is None or found[0].get("plan") != plan["key"]:
        raise ConfigError(
            "the dataset is not complete",
            where=folder.place,
            value=f"no {MANIFEST}" if found is None else f"{MANIFEST} of another plan",
            hint="run the command that makes it again: it goes on where it stopped",
        )
    return ScaledDataset(folder.place, plan, tuple(found[1]))

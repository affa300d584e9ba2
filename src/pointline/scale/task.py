"""What a task of a plan is: small values that go to a worker, and the small record that comes back."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass, fields, is_dataclass
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.version import package_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointline.bars.rules import BarRule
    from pointline.clock import DurationLike
    from pointline.errors import PointlineError
    from pointline.evaluation.check_limits import CheckLimits
    from pointline.state.attach import StateParams
    from pointline.studies.compare import Settled
    from pointline.studies.scan import ScanOptions
    from pointline.studies.scan_pairs import ScanPair
    from pointline.studies.study import Join

FORMAT = 1
DATA = "data"
MOST_TASK_BYTES = 65_536
"""A task's description is refused where it is larger: tables go through files, never through the scheduler."""
MOST_RECORD_BYTES = 4_096
_DIGITS = 32


@dataclass(frozen=True, kw_only=True)
class ScaleOptions:
    """How every pair is compared; the fields are those of `pointline.compare`, as they were given."""

    join: Join = "asof"
    events: str = "trades"
    state: StateParams | None = None
    spot_bars: BarRule | None = None
    base_bars: BarRule | None = None
    include_off_book: bool = False
    cache: bool = True


@dataclass(frozen=True, kw_only=True)
class ScaledCase:
    """A pair with a rule and parameters: what the tasks of one column of results have in common.

    Attributes:
        number: place among the cases of the pair.
        perp, spot: names of the two instruments.
        settled: instruments, rule and parameters, settled once for the whole window.
        pinned: digest of the lake's files that the pair's rows come from (see `pointline.scale.pins`).
    """

    number: int
    perp: str
    spot: str
    settled: Settled
    pinned: str


@dataclass(frozen=True, kw_only=True)
class ScanRowWork:
    """One pair of a scan: a row of its table.

    Attributes:
        pair: the pair, or the reason why there is none.
        options: how it is compared.
        limits: of the checklist.
        pinned: as in `ScaledCase`, and of the instruments; None where there is no pair.
    """

    pair: ScanPair
    options: ScanOptions
    limits: CheckLimits | None
    pinned: str | None


@dataclass(frozen=True, kw_only=True)
class LabelWork:
    """Horizons of the labels beside the features, as for `pointline.features.forward_labels`."""

    horizons_bars: tuple[int, ...]
    horizons_us: tuple[DurationLike, ...]


@dataclass(frozen=True, kw_only=True)
class ScaleTask:
    """One file of a dataset: what is in it, and what it is made of.

    Attributes:
        key: hash of everything that its bytes depend on.
        path: of the file, below the dataset's folder.
        start_us, end_us: its part of the window.
        window_us: the whole window.
        work: what is computed.
        options: how.
        labels: horizons, of a dataset for evaluation.
    """

    key: str
    path: str
    start_us: int
    end_us: int
    window_us: tuple[int, int]
    work: ScaledCase | ScanRowWork
    options: ScaleOptions
    labels: LabelWork | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return self.path.removesuffix(".parquet")


@dataclass(frozen=True, kw_only=True)
class TaskCall:
    """A task as it goes to a worker.

    Attributes:
        task: the task.
        lake: folder of the lake.
        dataset: folder of the dataset.
        plan: key of the plan, which the dataset's folder must show.
        versions: of the libraries that the plan was made with.
    """

    task: ScaleTask
    lake: str
    dataset: str
    plan: str
    versions: Mapping[str, str]

    @property
    def name(self) -> str:
        """What people call its task."""
        return self.task.name

    @property
    def key(self) -> str:
        """What tells its task from others."""
        return self.task.key


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """What became of a task.

    Attributes:
        key, path: of the task.
        rows: of its file; 0: the task has no file.
        complete: bars that closed by their rule.
        bytes, sha256: of its file.
        computed: whether the file was computed, or was there already and whole.
        worker_bytes: largest resident memory of the worker's process so far.
        cpu_s: processor seconds of the worker's process while the task ran.
    """

    key: str
    path: str
    rows: int
    complete: int
    bytes: int
    sha256: str
    computed: bool = True
    worker_bytes: int = 0
    cpu_s: float = 0.0

    def told(self) -> dict[str, Any]:
        """What is kept of it; not how it went."""
        kept = asdict(self)
        for name in ("computed", "worker_bytes", "cpu_s"):
            del kept[name]
        return kept

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> TaskRecord:
        """A record that was kept.

        Raises:
            TypeError: it is none.
        """
        return cls(**told, computed=False)


@dataclass(frozen=True)
class TaskFailure:
    """A task that could not be computed; the others went on.

    Attributes:
        name: of the task.
        error: why.
        path: of the file, of a task that has one.
    """

    name: str
    error: PointlineError
    path: str = ""


def digest(value: object) -> str:
    """A hash of a value's content that is the same in every process."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:_DIGITS]


def plain(value: object) -> Any:  # noqa: ANN401 - any JSON
    """A value as JSON: dataclasses with their class and fields, decimals as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"is": type(value).__name__, **{one.name: plain(getattr(value, one.name)) for one in fields(value)}}
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {"is": type(value).__name__, **plain(value._asdict())}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float | int | str | None):
        return value
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def own_versions() -> dict[str, str]:
    """Versions that the bytes of a result may depend on: pointline, Python, and the libraries that compute and write."""
    return {
        "pointline": package_version(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "polars": pl.__version__,
        "numpy": version("numpy"),
        "pyarrow": version("pyarrow"),
    }

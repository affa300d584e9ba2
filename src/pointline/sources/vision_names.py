"""How Binance Vision names its files, and what such a name says."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from pointline.errors import SourceError
from pointline.sources.hints import PERIOD, period_of
from pointline.sources.vision_datasets import DATASETS, KLINE_DATASETS

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.sources.base import Identity

SUFFIXES = (".csv.gz", ".zip", ".csv")

_NAMED = "|".join(name for name in DATASETS if name not in KLINE_DATASETS)
_INTERVAL = r"[1-9]\d*[smhdw]|1mo"
_NAME = re.compile(rf"(?:.*[\s-])?(?P<symbol>[^\s-]+)-(?:(?P<dataset>{_NAMED})|(?P<interval>{_INTERVAL}))-(?P<period>{PERIOD})")
_LIKE = re.compile(rf"-(?:(?:{_NAMED})-\d|(?:{_INTERVAL})-\d{{4}}-)")
_ARCHIVE = re.compile(rf".+-\w+-{PERIOD}")
_FOLDER = re.compile(
    r"(?:^|/)(?P<market>spot|futures/um|futures/cm)/(?P<span>daily|monthly)/(?P<dataset>\w+)/(?:(?P<symbol>[^/]+)/(?:(?P<interval>[^/]+)/)?)?$"
)


class VisionName(NamedTuple):
    """What a file's name says; `dataset` is None for candles, `interval` for all others."""

    symbol: str
    dataset: str | None
    interval: str | None
    period: str


class VisionFolder(NamedTuple):
    """What the archive's folders say of the files in them; None for those that the path does not reach."""

    market: str
    span: str
    dataset: str
    symbol: str | None
    interval: str | None


def _stem(name: str) -> str | None:
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), None)


def parse_name(name: str) -> VisionName | None:
    """What the name of an archive file (or of the CSV in it) says; None where it is none that the archive gives.

    Words before the symbol, set apart by a dash or a blank, are passed over. The symbol is any text in capitals, whatever the script.

    >>> parse_name("BTCUSDT-trades-2020-8.zip")
    VisionName(symbol='BTCUSDT', dataset='trades', interval=None, period='2020-08')
    """
    found = _NAME.fullmatch(_stem(name) or "")
    if found is None:
        return None
    period = period_of(found["period"])
    if period is None or not _is_symbol(found["symbol"]):
        return None
    return VisionName(found["symbol"], found["dataset"], found["interval"], period)


def _is_symbol(text: str) -> bool:
    """Whether it has letters, and nothing but letters, marks, digits and underscores, none of them a small ASCII letter."""
    known = all(letter == "_" or unicodedata.category(letter)[0] in "LMN" for letter in text)
    return known and any(map(str.isalpha, text)) and not re.search("[a-z]", text)


def parse_folder(path: Path) -> VisionFolder | None:
    """What the folders of a file say; None where they are not the archive's."""
    found = _FOLDER.search(f"{path.parent.as_posix()}/")
    return VisionFolder(found["market"], found["span"], found["dataset"], found["symbol"], found["interval"]) if found else None


def is_malformed(name: str, folder: VisionFolder | None) -> bool:
    """Whether a name that `parse_name` does not know looks as if it were one of the archive's.

    It does where it holds a dataset's name and then a number, or where it lies in the archive's folders and does not end as all
    names of the archive do, those of other datasets too.
    """
    stem = _stem(name)
    return stem is not None and (_LIKE.search(stem) is not None or (folder is not None and _ARCHIVE.fullmatch(stem) is None))


def malformed(path: Path) -> SourceError:
    """The error for a name that `is_malformed`."""
    return SourceError(
        "the file's name is none that the archive gives, so what is in it is not known; nothing of it was stored",
        where=str(path),
        value=path.name,
        expected="{SYMBOL}-{dataset or interval}-{YYYY-MM or YYYY-MM-DD}.zip, such as BTCUSDT-trades-2024-05-01.zip",
        hint="give it the archive's own name, or say what it is: --exchange … --dataset … --symbol … --period …",
    )


def check_folder(path: Path, named: VisionName, folder: VisionFolder) -> None:
    """Compares a file's name with its folders.

    Raises:
        SourceError: they contradict each other.
    """
    candles = folder.dataset in KLINE_DATASETS
    span = "daily" if len(named.period) == len("2024-05-01") else "monthly"
    pairs = {
        "symbol": (named.symbol, folder.symbol if _is_symbol(folder.symbol or "") else None),
        "dataset": (named.dataset or folder.dataset, folder.dataset),
        "interval": (named.interval, folder.interval if candles else None),
        "period": (span, folder.span),
    }
    if named.dataset is not None and candles:
        pairs["dataset"] = (named.dataset, folder.dataset)
    _agree("name and folder of the file contradict each other", path, path.name, pairs)


def check_label(path: Path, identity: Identity, label: str | None) -> None:
    """Compares what a file is with the name that the archive gives to the CSV inside; a name of another form says nothing.

    Raises:
        SourceError: they contradict each other.
    """
    inside = parse_name((label or "").replace("\\", "/").rpartition("/")[2])
    if inside is None:
        return
    own_interval = identity.dataset.partition("-")[2] or None
    pairs = {
        "symbol": (inside.symbol, identity.symbol),
        "dataset": (inside.dataset or inside.interval, own_interval or identity.dataset),
        "period": (inside.period, identity.period or None),
    }
    _agree("the file inside is another one than the archive's name says", path, label, pairs)


def _agree(what: str, path: Path, value: object, pairs: dict[str, tuple[str | None, str | None]]) -> None:
    for name, (found, expected) in pairs.items():
        if expected is not None and found != expected:
            raise SourceError(
                f"{what}; nothing of it was stored",
                where=str(path),
                value=value,
                expected=f"{name} {expected}, not {found}",
                hint="download it again, or move it to where it belongs under its own name",
            )

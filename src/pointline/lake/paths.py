"""Names as folders: the one place that makes the paths of partitions and reads them back, and from which no path leaves its table.

An exchange or symbol is any Unicode text. In a path each byte of its UTF-8 form outside ``A-Z a-z 0-9 . _ -`` stands as ``%`` and two
hexadecimal digits, so that different texts always give different paths (two ways to compose one letter are two texts) and plain readers
see plain symbols as they are.

What a Delta log calls a file is its path in URL form: ``%`` is written ``%25``. `path_of` takes that off again, once.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pointline.errors import ConfigError, LakeError

if TYPE_CHECKING:
    from pathlib import Path

NAME_BYTES = 255  # that a file system gives to the name of a folder
_NULL_OF_READERS = "__HIVE_DEFAULT_PARTITION__"  # readers of partitioned folders take this text for a missing value
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_HASH_DIGITS = 32


def encode_name(name: str) -> str:
    """The text of a name inside a path; no two names share it.

    Raises:
        ConfigError: the name is empty or holds half of a surrogate pair, which is no text.

    >>> encode_name("BTCUSDT"), encode_name("BTC/USDT"), encode_name("..")
    ('BTCUSDT', 'BTC%2FUSDT', '%2E%2E')
    """
    if not name:
        raise ConfigError("an exchange or symbol without a name", value=name, expected="at least one character")
    try:
        encoded = quote(name, safe="").replace("~", "%7E")
    except UnicodeEncodeError as error:
        raise ConfigError("a name is no text: it holds half of a surrogate pair", value=name, expected="Unicode text") from error
    if not name.strip("."):
        return encoded.replace(".", "%2E")
    return encoded.replace("_", "%5F", 1) if name == _NULL_OF_READERS else encoded


def decode_name(text: str) -> str:
    """The name that `encode_name` made a text of.

    Raises:
        LakeError: it is no such text.
    """
    try:
        name = unquote(text, errors="strict")
        known = encode_name(name) == text
    except (UnicodeDecodeError, ConfigError):
        known = False
    if not known:
        raise LakeError("a partition's folder is not named as pointline names it", value=text, expected="a name in URL form")
    return name


def _folder_name(column: str, name: str) -> str:
    """``column=name``; where that is too long for a file system, the name's beginning, ``~`` and its hash."""
    encoded = encode_name(name)
    room = NAME_BYTES - len(column) - 1
    if len(encoded) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_DIGITS]
        kept = re.sub(r"%[0-9A-F]?$", "", encoded[: room - 1 - len(digest)])
        encoded = f"{kept}~{digest}"
    return f"{column}={encoded}"


def partition_folder(exchange: str, symbol: str, date: str) -> str:
    """Folder of a partition below its table's, e.g. ``exchange=binance-spot/symbol=BTCUSDT/date=2024-05-01``.

    Raises:
        ConfigError: exchange or symbol is no name (see `encode_name`), or the date is none.
    """
    if not _DATE.fullmatch(date):
        raise ConfigError("a partition's date cannot be a folder's", value=date, expected="YYYY-MM-DD")
    return "/".join((_folder_name("exchange", exchange), _folder_name("symbol", symbol), f"date={date}"))


def partition_values(folder: str) -> dict[str, str]:
    """Exchange, symbol and date of `partition_folder`.

    Raises:
        LakeError: it is none, or a name in it was too long for a folder: only the log and the manifest tell it then.
    """
    parts = dict(part.split("=", 1) for part in folder.split("/") if "=" in part)
    if parts.keys() != {"exchange", "symbol", "date"}:
        raise LakeError("a folder of the lake is no partition's", value=folder, expected="exchange=…/symbol=…/date=…")
    return {"exchange": decode_name(parts["exchange"]), "symbol": decode_name(parts["symbol"]), "date": parts["date"]}


def slot_text(kind: str, exchange: str, symbol: str, date: str) -> str:
    """A partition in one line, ``kind/exchange/symbol/date``, of which `read_slot` is the way back; plain names stand as they are."""
    return "/".join((kind, encode_name(exchange), encode_name(symbol), date))


def read_slot(text: str) -> tuple[str, str, str, str]:
    """Kind, exchange, symbol and date of `slot_text`.

    Raises:
        LakeError: it is none.
    """
    parts = text.split("/")
    if len(parts) != 4:  # noqa: PLR2004 - kind, exchange, symbol, date
        raise LakeError("an entry of the manifest names no partition", value=text, expected="kind/exchange/symbol/date")
    kind, exchange, symbol, date = parts
    return kind, decode_name(exchange), decode_name(symbol), date


def path_of(logged: str, folder: Path) -> str:
    """Path below a table's folder of a file as the Delta log calls it.

    Raises:
        LakeError: it leads out of the folder.
    """
    path = unquote(logged, errors="surrogateescape")
    check_inside(path, folder)
    return path


def check_inside(path: str, folder: Path) -> None:
    """Refuses a relative path that leads out of the table's folder, before anything is read or written there.

    Raises:
        LakeError: it does; the error says how to take the partition out of the table.
    """
    parts = PurePosixPath(path).parts
    if parts and not path.startswith("/") and "://" not in path and ".." not in parts and "\0" not in path:
        return
    raise LakeError(
        "a data file of the lake lies outside its table; nothing of it is read",
        where=str(folder),
        value=path,
        expected="a path below the table's folder",
        hint="take its partition out of the table with the deltalake library, e.g. "
        f"DeltaTable({str(folder)!r}).delete(\"symbol = '…'\"), and ingest the archive file again",
    )

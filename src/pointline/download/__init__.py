"""Archive files from their hosts to the disk: found, got, verified; nothing half-written is ever taken for whole.

The room is a function too: ``pointline.download("binance-futures", "BTCUSDT", "trades", "2024-05-01", "2024-05-08")`` is `download` of
this module.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from inspect import Signature

    from pointline.clock import TimeLike
    from pointline.download.report import DownloadReport
    from pointline.download.run import DownloadFetchers, Wanted
    from pointline.download.transport import Transport
    from pointline.progress import Progress

DEFAULT_FOLDER = "archives"
CONNECTIONS = 4


def download(
    exchange: str,
    symbols: str | Iterable[str],
    kinds: str | Iterable[str],
    start: TimeLike,
    end: TimeLike,
    *,
    archive: str | None = None,
    folder: str | os.PathLike[str] = DEFAULT_FOLDER,
    dry_run: bool = False,
    verify: bool = False,
    base_url: str | None = None,
    connections: int = CONNECTIONS,
    progress: Progress = False,
) -> DownloadReport:
    """Downloads an exchange's public archive files; what ``pointline download`` does.

    A file is written beside its place, held against the host's check sum (or its size), unpacked to its end, and only then put in its
    place. What is there and whole is not got again, unless the host shows another version of it. Proxies come from the environment.

    Args:
        exchange: ``"binance-spot"``, ``"binance-futures"``, ``"binance-delivery"``, ``"bybit"``, ``"bybit-spot"``, ``"okx-spot"``,
            ``"okx-swap"``, ``"okx-futures"``, ``"gate-spot"``, ``"gate-futures"``, ``"kucoin-spot"``, ``"kucoin-futures"``, or another of
            their names. By REST: trades of ``"deribit"`` and ``"coinbase"``; funding of ``"bybit"``, ``"deribit"``, ``"gate-futures"``,
            ``"hyperliquid"``, ``"kraken-futures"`` and ``"kucoin-futures"``.
        symbols: one of the exchange's own symbols or several, e.g. ``"BTCUSDT"`` or ``"BTC-USDT-SWAP"``.
        kinds: datasets of the archive (``"trades"``, ``"aggTrades"``, ``"klines-1m"``, …) or tables of the lake (``"quotes"``,
            ``"funding"``, ``"candles_1m"``, …), one or several.
        start, end: the window; the archive's days that touch it are got. Those of OKX are days of UTC+8.
        archive: ``"tardis"`` for the datasets of that vendor, which has more exchanges and kinds; the exchange's own if None.
        folder: where the files go, in the archive's own folders; `ingest` reads it.
        dry_run: write nothing; say what would be got.
        verify: hold what is there against the host's check sums, by its bytes, and get what differs. What was got by REST is held against
            the record of when it was got.
        base_url: of a mirror with the archive's paths below it.
        connections: how many files are got at a time.
        progress: True shows a line of progress; a function is called with the bytes done, all bytes and the name of the file; with
            files instead of bytes where no size is known.

    Returns:
        An outcome for each file, the days that the archive does not have, and what failed. A file that does not come stops no other.

    Raises:
        ConfigError: an argument cannot be used.
        BusyError: another download writes to the folder.
        MissingExtraError: httpx is not installed.

    Examples:
        >>> import pointline
        >>> week = pointline.download("binance-futures", "BTCUSDT", "trades", "2024-05-01", "2024-05-08")  # doctest: +SKIP
        >>> week.counts, week.missing  # doctest: +SKIP
        ({'fetched': 7}, ())
    """
    from pointline.download.transport import Transport

    targets = targets_of(exchange, symbols, kinds, start, end, archive=archive)
    with Transport(connections=max(1, connections)) as transport:
        return get_targets(
            targets,
            transport=transport,
            folder=folder,
            dry_run=dry_run,
            verify=verify,
            base_url=base_url,
            connections=connections,
            progress=progress,
        )


def targets_of(
    exchange: str,
    symbols: str | Iterable[str],
    kinds: str | Iterable[str],
    start: TimeLike,
    end: TimeLike,
    *,
    archive: str | None = None,
) -> list[Wanted]:
    """What is wanted, with the names resolved; arguments as in `download`.

    Raises:
        ConfigError: the exchange, a symbol, a kind or the window cannot be used.
    """
    from itertools import product

    from pointline.clock import window_us
    from pointline.download.archives import check_symbol_of, dataset_of, day_start_of
    from pointline.download.coverage import wanted_days
    from pointline.download.run import Wanted
    from pointline.errors import ConfigError
    from pointline.venues.names import exchange_id

    known = exchange_id(exchange)
    named = archive or ""
    start_us, end_us = window_us(start, end)
    names = {
        what: tuple(dict.fromkeys([given] if isinstance(given, str) else given)) for what, given in (("symbols", symbols), ("kinds", kinds))
    }
    for what, given in names.items():
        if not given:
            raise ConfigError(f"no {what} are named", value=given, expected="one or more")
    begins = {dataset: day_start_of(known, dataset, named) for dataset in (dataset_of(known, kind, named) for kind in names["kinds"])}
    days = {dataset: tuple(wanted_days(start_us - begin_us, end_us - begin_us)) for dataset, begin_us in begins.items()}
    for symbol, dataset in product(names["symbols"], days):
        check_symbol_of(known, dataset, symbol, named)
    return [Wanted(known, symbol, dataset, days[dataset], named) for symbol, dataset in product(names["symbols"], days)]


def get_targets(
    targets: list[Wanted],
    *,
    transport: Transport,
    folder: str | os.PathLike[str] = DEFAULT_FOLDER,
    dry_run: bool = False,
    verify: bool = False,
    base_url: str | None = None,
    connections: int = CONNECTIONS,
    fetchers: DownloadFetchers | None = None,
    progress: Progress | None = None,
    now_us: int | None = None,
) -> DownloadReport:
    """As `download`, for targets.

    Args:
        targets: what is wanted.
        transport: the client.
        folder, dry_run, verify, base_url, connections, progress: as in `download`.
        fetchers: as in `pointline.download.run.carry_out`.
        now_us: the time now, µs UTC; the system's if None.

    Raises:
        ConfigError, BusyError: as `download`.
    """
    import time
    from pathlib import Path

    from pointline.download.archives import open_hosts
    from pointline.download.folder import ArchiveFolder
    from pointline.download.run import carry_out, dry_report, make_plan
    from pointline.errors import ConfigError

    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise ConfigError("the base URL is none", value=base_url, expected="http://… or https://…")
    if connections < 1:
        raise ConfigError("there must be a connection", value=connections, expected="1 or more")
    archives = ArchiveFolder(Path(folder))
    now = time.time_ns() // 1000 if now_us is None else now_us
    hosts = open_hosts(((target.exchange, target.dataset, target.archive) for target in targets), transport, base_url, now_us=now)
    plan = make_plan(hosts, targets, connections=connections, now_us=now)
    if dry_run:
        return dry_report(plan, archives)
    return carry_out(plan, archives, transport, verify=verify, connections=connections, fetchers=fetchers, progress=progress)


class DownloadRoom(ModuleType):
    """A module that can be called: its call is its function `download`."""

    def __call__(self, *what: Any, **options: Any) -> DownloadReport:  # noqa: ANN401 - those of `download`
        """As `download`."""
        return download(*what, **options)

    @property
    def __signature__(self) -> Signature:
        from inspect import signature

        return signature(download)


sys.modules[__name__].__class__ = DownloadRoom

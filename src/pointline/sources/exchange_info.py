"""Binance exchangeInfo: the instruments of spot, USD-M or COIN-M futures as the exchange listed them at one moment.

Accepted are the JSON answer itself, the same gzipped, and a recorder's line ``https://…/exchangeInfo -> unix time: {json}``.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.errors import SourceError
from pointline.instruments.instrument import OBSERVATION_SCHEMA, Observation
from pointline.sources.base import INSTRUMENTS, Batch, Hints, Identity
from pointline.sources.inflate import GZIP_MAGIC, head_of
from pointline.sources.stamps import EARLIEST_US, LATEST_US

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.instruments.instrument import AssetType, ContractType

_PEEK_BYTES = 1024
_MAX_BYTES = 256 << 20  # of the text; the exchange's longest answer has some 20 MB
_RECORDED = re.compile(r"^\s*(https?://\S*exchangeInfo\S*)\s+->\s+[\d.]+:\s*", re.MULTILINE)
_HOSTS = {"fapi": "binance-futures", "dapi": "binance-delivery", "api": "binance-spot"}
_ADDRESS = re.compile(r"https?://([a-z]+)\d*\.binance\.(?:com|vision)(?:[:/]|$)")
# what Binance says of a symbol; exchanges that answer in its shape have words or numbers of their own
_STATUSES = {
    *("PRE_TRADING", "PENDING_TRADING", "TRADING", "POST_TRADING", "END_OF_DAY", "HALT", "AUCTION_MATCH", "BREAK"),
    *("PRE_DELIVERING", "DELIVERING", "DELIVERED", "PRE_SETTLE", "SETTLING", "CLOSE"),
}
_FILTERS = {"PRICE_FILTER", "LOT_SIZE"}
_NO_DELIVERY_MS = 4_102_444_800_000  # 2100-01-01: perpetuals carry a later date


class ExchangeInfo:
    """Parser of exchangeInfo answers."""

    name = "exchange_info"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:  # noqa: ARG002 - its content says everything
        """The identity of a file whose first kilobyte looks like an exchangeInfo answer; which exchange it is of, `read` tells."""
        try:
            head = head_of(path, _PEEK_BYTES, _PEEK_BYTES)
        except OSError:
            return None
        text = head.decode("utf-8", errors="replace")
        recorded = _RECORDED.match(text)
        body = text[recorded.end() :] if recorded else text
        if body.lstrip("\ufeff \r\n\t").startswith("{") and '"timezone"' in body and '"serverTime"' in body:
            return Identity(self.name, "", "", INSTRUMENTS, "*", "", kind=INSTRUMENTS)
        return None

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:  # noqa: ARG002 - its content says everything
        """One batch: every instrument as the exchange listed it at its own server time.

        Raises:
            SourceError: the file is not exchangeInfo of Binance spot, USD-M or COIN-M, or an entry lacks a field.
        """
        text = _text(path)
        recorded = _RECORDED.search(text)
        try:
            content = json.JSONDecoder().raw_decode(text, recorded.end() if recorded else len(text) - len(text.lstrip()))[0]
        except json.JSONDecodeError as error:
            raise SourceError(f"the file is not JSON: {error.msg}", where=f"{path}, line {error.lineno}") from None
        except RecursionError:
            raise SourceError("the file is not exchangeInfo: its JSON is nested too deep", where=str(path)) from None
        except ValueError as error:  # a number of thousands of digits
            raise SourceError("the file is not exchangeInfo", where=str(path), value=str(error)) from None
        _check(content, path)
        exchange = _exchange(content, recorded.group(1) if recorded else None, path)
        observed_us = content["serverTime"] * 1000
        rows = []
        for entry in content["symbols"]:
            try:
                rows.append(asdict(_instrument(exchange, entry, observed_us)))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise _bad_entry(path, entry, error) from None
        yield Batch(INSTRUMENTS, exchange, "*", pl.DataFrame(rows, schema=OBSERVATION_SCHEMA))


def _check(content: object, path: Path) -> None:
    """Compares an answer with what all of Binance's have, and other exchanges' have not.

    Raises:
        SourceError: it differs.
    """
    expected = "a JSON object with timezone, serverTime, rateLimits and a list of symbols"
    if not isinstance(content, dict):
        raise SourceError("the file is not exchangeInfo", where=str(path), expected=expected)
    entries, server_ms = content.get("symbols"), content.get("serverTime")
    if not isinstance(entries, list) or not entries or not isinstance(server_ms, int) or isinstance(server_ms, bool):
        raise SourceError("the file is not exchangeInfo", where=str(path), value=sorted(content)[:8], expected=expected)
    if not EARLIEST_US <= server_ms * 1000 < LATEST_US:
        raise SourceError("serverTime is no time between 2009 and 2050 in milliseconds", where=str(path), value=server_ms)
    named = [entry for entry in entries if isinstance(entry, dict)]
    statuses = {str(entry.get("status", entry.get("contractStatus"))) for entry in named} - {"None"}
    signs = {
        "timezone UTC": content.get("timezone") == "UTC",
        "rateLimits": isinstance(content.get("rateLimits"), list),
        "symbols with PRICE_FILTER and LOT_SIZE": any(_filter_names(entry) >= _FILTERS for entry in named),
        "a status such as TRADING": not statuses or bool(statuses & _STATUSES),
    }
    missing = [sign for sign, there in signs.items() if not there]
    if missing:
        raise SourceError(
            "the file is exchangeInfo of another exchange, not of Binance",
            where=str(path),
            value=f"without {', '.join(missing)}",
            expected="exchangeInfo of Binance spot, USD-M or COIN-M futures",
        )


def _filter_names(entry: dict[str, Any]) -> set[object]:
    filters = entry.get("filters")
    return {str(one.get("filterType")) for one in filters if isinstance(one, dict)} if isinstance(filters, list) else set()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
        if raw.startswith(GZIP_MAGIC):
            inflate = zlib.decompressobj(wbits=31)
            raw = inflate.decompress(raw, _MAX_BYTES + 1)
            if not inflate.eof and len(raw) <= _MAX_BYTES:
                raise SourceError("the gzip file is broken: it ends too early", where=str(path), hint="download it again")
        if len(raw) > _MAX_BYTES:
            raise SourceError("the file is too long for exchangeInfo", where=str(path), expected=f"up to {_MAX_BYTES:,} bytes of text")
        return raw.decode("utf-8-sig")
    except zlib.error as error:
        raise SourceError(f"the gzip file is broken: {error}", where=str(path), hint="download it again") from None
    except UnicodeDecodeError as error:
        raise SourceError("the file is not text in UTF-8", where=f"{path}, byte {error.start}") from None


def _exchange(content: dict[str, Any], url: str | None, path: Path) -> str:
    entries = content["symbols"]
    first = next((entry for entry in entries if isinstance(entry, dict)), {})
    if content.get("futuresType") == "U_MARGINED":
        told = "binance-futures"
    elif "contractSize" in first and "marginAsset" in first:
        told = "binance-delivery"
    elif "isSpotTradingAllowed" in first or ("contractType" not in first and "quoteAsset" in first):
        told = "binance-spot"
    else:
        raise SourceError(
            "the file does not tell its market",
            where=str(path),
            value=", ".join(sorted(first)[:8]),
            expected="exchangeInfo of Binance spot, USD-M or COIN-M futures",
        )
    host = _ADDRESS.match(url) if url else None
    if url is not None and (host is None or _HOSTS.get(host.group(1)) != told):
        raise SourceError("address and content disagree on the market", where=str(path), value=url, expected=f"an address of {told}")
    return told


def _bad_entry(path: Path, entry: object, error: Exception) -> SourceError:
    symbol = entry.get("symbol") if isinstance(entry, dict) else entry
    what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    return SourceError(
        f"an entry of symbols cannot be read: {what}", where=f"{path}, symbol {symbol}", hint="nothing of the file was stored"
    )


def _instrument(exchange: str, entry: object, observed_us: int) -> Observation:
    if not isinstance(entry, dict):
        message = "it is no JSON object"
        raise TypeError(message)
    filters = {one["filterType"]: one for one in entry["filters"]}
    asset_type, contract_type, contract_size = _contract(exchange, entry)
    delivery_ms = None if asset_type == "spot" else int(entry["deliveryDate"])
    listed_ms = entry.get("onboardDate")
    return Observation(
        exchange=exchange,
        exchange_symbol=_name(entry, "symbol"),
        base_asset=_name(entry, "baseAsset"),
        quote_asset=_name(entry, "quoteAsset"),
        settle_asset=None if asset_type == "spot" else _name(entry, "marginAsset"),
        asset_type=asset_type,
        contract_type=contract_type,
        contract_size=contract_size,
        price_increment=_increment(filters, "PRICE_FILTER", "tickSize"),
        qty_increment=_increment(filters, "LOT_SIZE", "stepSize"),
        expiry_us=None if delivery_ms is None or delivery_ms >= _NO_DELIVERY_MS else delivery_ms * 1000,
        listed_us=int(listed_ms) * 1000 if listed_ms else None,
        source="exchange_info",
        observed_us=observed_us,
    )


def _name(entry: dict[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or not value:
        message = f"{key} is {value!r}, not a name"
        raise ValueError(message)
    return value


def _contract(exchange: str, entry: dict[str, Any]) -> tuple[AssetType, ContractType | None, float]:
    if exchange == "binance-spot":
        return "spot", None, 1.0
    kind = entry["contractType"]
    if "PERPETUAL" in kind or (not kind and int(entry["deliveryDate"]) >= _NO_DELIVERY_MS):
        asset_type: AssetType = "perpetual"
    elif "QUARTER" in kind or "MONTH" in kind:
        asset_type = "future"
    else:
        message = f"contractType {kind!r} is not known"
        raise ValueError(message)
    if exchange == "binance-delivery":
        size = float(entry["contractSize"])
        if not (size > 0 and math.isfinite(size)):
            message = f"contractSize {entry['contractSize']!r} is no size"
            raise ValueError(message)
        return asset_type, "inverse", size
    return asset_type, "linear", 1.0


def _increment(filters: dict[str, dict[str, Any]], name: str, key: str) -> float | None:
    """The step of a filter; None where the exchange sets none (a missing filter or a step of zero)."""
    step = float(filters[name][key]) if name in filters else 0.0
    if not math.isfinite(step) or step < 0:
        message = f"{key} {filters[name][key]!r} is no step"
        raise ValueError(message)
    return step or None

"""The integers in which an instrument's trades are counted during one computation, and the batches of rows that carry them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from pointline.errors import AmountOverflowError, ConfigError
from pointline.lake.partition import ROW_GROUP_ROWS
from pointline.research.bits import unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import polars as pl

    from pointline.instruments import Instrument
    from pointline.lake.store import PartitionFile

Ints = np.ndarray[Any, np.dtype[np.int64]]
BATCH_ROWS = ROW_GROUP_ROWS  # one decoded row group is one contiguous batch
INVERSE_BASE_DECIMALS = 8
_MAX_AMOUNT = 1 << 53


@dataclass(frozen=True)
class Amounts:
    """Scales of one instrument in one computation: an integer counts ``10**-decimals``.

    Attributes:
        price_decimals, qty_decimals: of the stored prices and quantities, the finest in the window.
        inverse_size: quote units per contract of an inverse contract as a decimal, else None. Its base volume is counted in
            1e-8 of the base asset, contracts x size / price rounded half up trade by trade.
    """

    price_decimals: int
    qty_decimals: int
    inverse_size: Decimal | None = None

    @property
    def base_decimals(self) -> int:
        """Decimals of the base-asset integers."""
        return self.qty_decimals if self.inverse_size is None else INVERSE_BASE_DECIMALS

    @property
    def quote_decimals(self) -> int:
        """Decimals of the quote-asset integers."""
        return self.price_decimals + self.qty_decimals if self.inverse_size is None else self.qty_decimals + _decimals(self.inverse_size)

    @property
    def base_unit(self) -> Decimal:
        """The smallest base amount."""
        return Decimal(1).scaleb(-self.base_decimals)

    @property
    def quote_unit(self) -> Decimal:
        """The smallest quote amount."""
        return Decimal(1).scaleb(-self.quote_decimals)


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -int(exponent))


@dataclass(frozen=True)
class TradeRows:
    """A batch of trades as the kernels read them.

    Attributes:
        ts: microseconds, sorted.
        price: price integers.
        qty: base-asset integers (contracts are converted already).
        side: int8, 1 = the seller was the taker.
        notional: quote-asset integers of an inverse contract; empty where quote = price x qty.
        instrument: for errors.
    """

    ts: Ints
    price: Ints
    qty: Ints
    side: np.ndarray[Any, np.dtype[np.int8]]
    notional: Ints
    instrument: str

    def quote(self) -> Ints:
        """Quote-asset integers per trade.

        Raises:
            AmountOverflowError: a product does not fit 62 bits.
        """
        if len(self.notional) or not len(self.ts):
            return self.notional
        largest = float(self.price.max()) * float(self.qty.max())
        if largest >= float(1 << 62):
            raise AmountOverflowError("price x quantity does not fit 62 bits", value=largest, where=self.instrument)
        return self.price * self.qty

    def refuse_large(self) -> None:
        """Raises what is to be said of an amount above 2**53.

        Raises:
            AmountOverflowError: always.
        """
        _check_amount(max(int(self.price.max()), int(self.qty.max())), self.instrument)

    def cut(self, at_us: int) -> tuple[TradeRows, TradeRows]:
        """The rows before an instant, and those from it on."""
        start, end = int(self.ts[0]), int(self.ts[-1]) + 1
        return self.between(start, at_us), self.between(at_us, end)

    def between(self, start_us: int, end_us: int) -> TradeRows:
        """The rows with ``start_us <= ts < end_us``."""
        a, b = np.searchsorted(self.ts, [start_us, end_us])
        if a == 0 and b == len(self.ts):
            return self
        notional = self.notional[a:b] if len(self.notional) else self.notional
        return replace(self, ts=self.ts[a:b], price=self.price[a:b], qty=self.qty[a:b], side=self.side[a:b], notional=notional)


def amounts_of(instrument: Instrument, files: Iterable[PartitionFile], *, price_decimals: int = 0, qty_decimals: int = 0) -> Amounts:
    """The finest scales among the partitions and the given minimum, so that every stored integer converts by a whole factor.

    Raises:
        ConfigError: an inverse contract's size is unknown.
    """
    for file in files:
        price_decimals = max(price_decimals, file.totals["price_decimals"])
        qty_decimals = max(qty_decimals, file.totals["qty_decimals"])
    if instrument.contract_type != "inverse":
        return Amounts(price_decimals, qty_decimals)
    return Amounts(price_decimals, qty_decimals, Decimal(str(contract_size_of(instrument))))


def contract_size_of(instrument: Instrument) -> float:
    """Quote units per contract of an inverse contract.

    Raises:
        ConfigError: it is unknown.
    """
    if instrument.contract_size is None:
        raise ConfigError(
            "the contract size of this inverse contract is unknown", value=instrument.name, hint="ingest the exchange's exchangeInfo JSON"
        )
    return instrument.contract_size


def read_trades(
    file: PartitionFile, amounts: Amounts, instrument: str, use: Callable[[TradeRows], None], *, batch_rows: int = BATCH_ROWS
) -> None:
    """Hands the trades of one partition to `use`, a bounded batch at a time and in order, while the next ones are decoded.

    Raises:
        AmountOverflowError: a scaled amount passes 2**53.
    """
    factors = (10 ** (amounts.price_decimals - file.totals["price_decimals"]), 10 ** (amounts.qty_decimals - file.totals["qty_decimals"]))

    def convert(decoded: pl.DataFrame) -> None:
        for frame in decoded.iter_slices(batch_rows):
            use(_trade_rows(frame, factors, amounts, instrument))

    file.scan(["ts_local_us", "price_int", "qty_int", "side"]).sink_batches(convert)


def _trade_rows(frame: pl.DataFrame, factors: tuple[int, int], amounts: Amounts, instrument: str) -> TradeRows:
    price = _scaled(frame["price_int"], factors[0], instrument)
    qty = _scaled(frame["qty_int"], factors[1], instrument)
    notional = np.empty(0, dtype=np.int64)
    if amounts.inverse_size is not None:
        notional, qty = _inverse(price, qty, amounts, amounts.inverse_size, instrument)
    side = unpacked(frame["side"]).view(np.int8)
    return TradeRows(frame["ts_local_us"].to_numpy(), price, qty, side, notional, instrument)


def _scaled(values: pl.Series, factor: int, instrument: str) -> Ints:
    numbers = values.to_numpy()
    if factor == 1:
        return numbers
    _check_amount(int(numbers.max(initial=0)) * factor, instrument)
    return numbers * factor


def _check_amount(largest: int, instrument: str) -> None:
    if largest > _MAX_AMOUNT:
        raise AmountOverflowError("a price or quantity passes 2**53 in its smallest unit", where=instrument, value=largest)


def _inverse(price: Ints, contracts: Ints, amounts: Amounts, contract_size: Decimal, instrument: str) -> tuple[Ints, Ints]:
    """Quote integers and base integers (rounded half up) of inverse contracts."""
    size = int(contract_size.scaleb(_decimals(contract_size)))
    notional = contracts * size
    exponent = INVERSE_BASE_DECIMALS + amounts.price_decimals - amounts.quote_decimals
    numerator = 2 * 10 ** max(exponent, 0)
    divisor = 2 * price * 10 ** max(-exponent, 0)
    largest = int(notional.max(initial=0)) * numerator
    if largest >= 1 << 62:
        raise AmountOverflowError("an inverse contract's base amount does not fit 62 bits", where=instrument, value=largest)
    return notional, (notional * numerator + divisor // 2) // divisor

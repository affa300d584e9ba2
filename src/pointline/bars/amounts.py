"""The integers in which an instrument's trades are counted during one computation, and the batches of rows that carry them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pointline.bars.bits import unpacked
from pointline.errors import AmountOverflowError
from pointline.lake.partition import ROW_GROUP_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pointline.instruments import Instrument
    from pointline.lake.store import PartitionFile

Ints = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
BATCH_ROWS = ROW_GROUP_ROWS  # one decoded row group is one contiguous batch
INVERSE_BASE_DECIMALS = 8
FRACTION_BITS = 62
_MAX_AMOUNT = 1 << 53


@dataclass(frozen=True)
class Amounts:
    """Scales of one instrument in one computation: an integer counts ``10**-decimals``.

    Attributes:
        price_decimals: of the stored prices, the finest in the window.
        qty_decimals: of the quantities, the finest in the window: base units, of inverse contracts the contracts.
        size: base units per contract (linear), quote units per contract (inverse).
        inverse: the base amount of a trade is contracts x size / price. It is counted in 1e-8 of the base asset and 2**-62 of that,
            rounded down, so that a bar's vwap is right to 1e-12 and lies inside [low, high].
    """

    price_decimals: int
    qty_decimals: int
    size: Decimal = Decimal(1)
    inverse: bool = False

    @property
    def base_decimals(self) -> int:
        """Decimals of the base-asset integers."""
        return INVERSE_BASE_DECIMALS if self.inverse else self.qty_decimals

    @property
    def quote_decimals(self) -> int:
        """Decimals of the quote-asset integers."""
        return self.qty_decimals + (_decimals(self.size) if self.inverse else self.price_decimals)

    @property
    def base_unit(self) -> Decimal:
        """The smallest base amount in which a driver is counted."""
        return Decimal(1).scaleb(-self.base_decimals)

    @property
    def quote_unit(self) -> Decimal:
        """The smallest quote amount."""
        return Decimal(1).scaleb(-self.quote_decimals)

    def factors(self, file: PartitionFile) -> tuple[int, int]:
        """By what a partition's integers of price and quantity are multiplied."""
        price = self.price_decimals - file.totals["price_decimals"]
        qty = self.qty_decimals - file.totals["qty_decimals"]
        size = Decimal(1) if self.inverse else self.size
        return 10**price, int(size.scaleb(qty))


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -int(exponent))


def _no_ints() -> Ints:
    return np.empty(0, dtype=np.int64)


def _no_flags() -> Flags:
    return np.empty(0, dtype=np.bool_)


@dataclass(frozen=True)
class TradeRows:
    """A batch of trades as the kernels read them.

    Attributes:
        ts: microseconds, sorted.
        price: price integers.
        qty: base-asset integers (contracts are converted already).
        side: int8, 1 = the seller was the taker, or not known who was.
        notional: quote-asset integers of an inverse contract; empty where quote = price x qty.
        instrument: for errors.
        fraction: what `qty` of an inverse contract leaves of the base amount, in 2**-62 of its unit; empty where nothing is left.
        unknown: whether it is not known who the taker was; empty where it is known of every trade.
    """

    ts: Ints
    price: Ints
    qty: Ints
    side: np.ndarray[Any, np.dtype[np.int8]]
    notional: Ints
    instrument: str
    fraction: Ints = field(default_factory=_no_ints)
    unknown: Flags = field(default_factory=_no_flags)

    def base(self) -> Ints:
        """Base-asset integers per trade by which a driver is counted, rounded half up."""
        return self.qty + (self.fraction >> (FRACTION_BITS - 1)) if len(self.fraction) else self.qty

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
        return replace(
            self,
            ts=self.ts[a:b],
            price=self.price[a:b],
            qty=self.qty[a:b],
            side=self.side[a:b],
            notional=self.notional[a:b],
            fraction=self.fraction[a:b],
            unknown=self.unknown[a:b],
        )


def amounts_of(instrument: Instrument, files: Iterable[PartitionFile], *, price_decimals: int = 0, qty_decimals: int = 0) -> Amounts:
    """The finest scales among the partitions and the given minimum, so that every stored integer converts by a whole factor.

    Raises:
        ConfigError: a contract's size is not known.
    """
    size, inverse = instrument.size, instrument.contract_type == "inverse"
    of_size = 0 if inverse else _decimals(size)
    for file in files:
        price_decimals = max(price_decimals, file.totals["price_decimals"])
        qty_decimals = max(qty_decimals, file.totals["qty_decimals"] + of_size)
    return Amounts(price_decimals, qty_decimals, size, inverse)


def read_trades(
    file: PartitionFile,
    amounts: Amounts,
    instrument: str,
    use: Callable[[TradeRows], None],
    *,
    batch_rows: int = BATCH_ROWS,
    include_off_book: bool = False,
) -> None:
    """Hands the trades of one partition to `use`, a bounded batch at a time and in order, while the next ones are decoded.

    Args:
        file: the partition.
        amounts: the scale in which its amounts are handed out.
        instrument: for errors.
        use: takes a batch.
        batch_rows: the most rows of a batch.
        include_off_book: also the prints that are flagged as off-book.

    Raises:
        AmountOverflowError: a scaled amount passes 2**53.
    """
    factors = amounts.factors(file)

    def convert(decoded: pl.DataFrame) -> None:
        for frame in decoded.iter_slices(batch_rows):
            use(_trade_rows(frame, factors, amounts, instrument))

    on_book(file, ["ts_local_us", "price_int", "qty_int", "side"], include_off_book=include_off_book).sink_batches(convert)


def on_book(file: PartitionFile, columns: list[str], *, include_off_book: bool = False) -> pl.LazyFrame:
    """Columns of a partition of trades as stored, without the prints that are flagged as off-book.

    Their flags are read only where the partition's totals say that there are any.
    """
    if include_off_book or not file.totals.get("off_book"):
        return file.scan(columns)
    return file.scan([*columns, "off_book"]).filter(~pl.col("off_book").fill_null(value=False)).select(columns)


def _trade_rows(frame: pl.DataFrame, factors: tuple[int, int], amounts: Amounts, instrument: str) -> TradeRows:
    price = _scaled(frame["price_int"], factors[0], instrument)
    qty = _scaled(frame["qty_int"], factors[1], instrument)
    notional = fraction = _no_ints()
    if amounts.inverse:
        notional, qty, fraction = _inverse(price, qty, amounts, instrument)
    sides, unknown = frame["side"], _no_flags()
    if sides.null_count():
        unknown, sides = sides.is_null().to_numpy(), sides.fill_null(value=True)
    side = unpacked(sides).view(np.int8)
    return TradeRows(frame["ts_local_us"].to_numpy(), price, qty, side, notional, instrument, fraction, unknown)


def _scaled(values: pl.Series, factor: int, instrument: str) -> Ints:
    numbers = values.to_numpy()
    if factor == 1:
        return numbers
    _check_amount(int(numbers.max(initial=0)) * factor, instrument)
    return numbers * factor


def _check_amount(largest: int, instrument: str) -> None:
    if largest > _MAX_AMOUNT:
        raise AmountOverflowError("a price or quantity passes 2**53 in its smallest unit", where=instrument, value=largest)


def _inverse(price: Ints, contracts: Ints, amounts: Amounts, instrument: str) -> tuple[Ints, Ints, Ints]:
    """Quote integers of inverse contracts, their base integers rounded down, and what is left of these in 2**-62.

    Division by hand, some digits at a time: the remainder is below the price, so as many fit 63 bits beside it.
    """
    notional = contracts * int(amounts.size.scaleb(_decimals(amounts.size)))
    if not len(price):
        return notional, notional, notional
    digits = INVERSE_BASE_DECIMALS + amounts.price_decimals - amounts.quote_decimals
    _check_amount(int(price.max()) * 10 ** max(-digits, 0), instrument)
    divisor = price * 10 ** max(-digits, 0)
    _check_quotients(notional, divisor, 10 ** max(digits, 0), contracts, amounts, instrument)
    spare_bits = 63 - int(divisor.max()).bit_length()
    spare_digits = int(spare_bits * 0.30102)  # log10(2), rounded down
    whole, rest = notional // divisor, notional % divisor
    while digits > 0:
        step = 10 ** min(spare_digits, digits)
        digits -= min(spare_digits, digits)
        more, rest = _next_digits(rest, divisor, step)
        whole = whole * step + more
    fraction, bits = np.zeros_like(whole), FRACTION_BITS
    while bits > 0:
        step = 1 << min(spare_bits, bits)
        bits -= min(spare_bits, bits)
        more, rest = _next_digits(rest, divisor, step)
        fraction = fraction * step + more
    return notional, whole, fraction


def _next_digits(rest: Ints, divisor: Ints, step: int) -> tuple[Ints, Ints]:
    shifted = rest * step
    digits = shifted // divisor
    return digits, shifted - digits * divisor


def _check_quotients(notional: Ints, divisor: Ints, scale: int, contracts: Ints, amounts: Amounts, instrument: str) -> None:
    """The quote amounts fit 62 bits and the base amounts 53."""
    largest = int(contracts.max()) * int(amounts.size.scaleb(_decimals(amounts.size)))
    if largest >= 1 << 62:
        raise AmountOverflowError("an inverse contract's quote amount does not fit 62 bits", where=instrument, value=largest)
    most = float((notional / divisor).max()) * scale
    if most > float(_MAX_AMOUNT):
        raise AmountOverflowError("an inverse contract's base amount passes 2**53 in units of 1e-8", where=instrument, value=most)

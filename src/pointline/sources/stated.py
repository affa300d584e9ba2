"""What a mapping states of its instruments: ``[instrument]`` in one of a single symbol, ``[instrument.SYMBOL]`` or a list for several.

One instrument::

    [instrument]
    base_asset = "BTC"
    quote_asset = "USDC"
    asset_type = "perpetual"
    contract_type = "linear"
    contract_size = 1.0

Several, by the exchange's own symbols::

    [instrument.BTCPERP]
    base_asset = "BTC"
    ...

or ``[[instrument]]`` with ``symbol = "BTCPERP"`` in each. Keys: see `pointline.venues.markets.InstrumentTerms`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pointline.venues.markets import InstrumentTerms


class StatedInstruments(BaseModel):
    """The instruments of a mapping.

    Attributes:
        alone: of the file's only symbol.
        by_symbol: of symbols that are named.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alone: InstrumentTerms | None = None
    by_symbol: dict[str, InstrumentTerms] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _forms(cls, value: object) -> object:
        if isinstance(value, list):
            named: dict[str, object] = {}
            for one in value:
                symbol = one.get("symbol") if isinstance(one, dict) else None
                if not isinstance(symbol, str) or not symbol or symbol in named:
                    message = "each [[instrument]] needs a symbol of its own"
                    raise ValueError(message)
                named[symbol] = {key: item for key, item in one.items() if key != "symbol"}
            return {"by_symbol": named}
        if isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values()):
            return {"by_symbol": value}
        return {"alone": value}

    def of(self, symbol: str) -> InstrumentTerms | None:
        """What is stated of a symbol, None where nothing is."""
        return self.by_symbol.get(symbol, self.alone)

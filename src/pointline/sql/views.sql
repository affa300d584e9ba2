-- The views of `api` beside `api.ohlcv`, one after another. They read the tables of `lake`, which are made from what the lake holds.
-- The columns of the specification's page come first, in its order; our own follow.
-- Times: CAST((x + 0.5) / 1000000 AS DateTime64(6)) is the exact microsecond until 2100, and unlike fromUnixTimestamp64Micro it lets the
-- engine skip row groups by the bounds of their times. A second CAST to DateTime64(9) adds zeros and keeps that; toDateTime64(…, 9),
-- fromUnixTimestamp64Nano and a single CAST to DateTime64(9) do not: the first two skip nothing, the last is off by up to 512 ns.
-- Amounts: an integer times a power of ten is exact, and three times as quick as a division of 256 bits.

CREATE VIEW lake.trade AS
SELECT
    exchange,
    market,
    if(isNull(side), NULL, if(side, 'sell', 'buy')) AS side,
    {quantity} AS quantity,
    price_int * arrayElement({steps}, price_decimals + 1) AS price,
    CAST(CAST((ts_event_us + 0.5) / 1000000 AS DateTime64(6, 'UTC')) AS DateTime64(9, 'UTC')) AS timestamp,
    coalesce(text_id, toString(trades.trade_id), '') AS trade_id,
    trades.trade_id AS trade_number,
    ifNull(off_book, false) AS off_book,
    CAST((ts_local_us + 0.5) / 1000000 AS DateTime64(6, 'UTC')) AS known_at,
    source_row AS sequence
FROM lake.trades AS trades;

CREATE VIEW api.trade DEFINER = lake_owner SQL SECURITY DEFINER AS
SELECT exchange, market, side, quantity, price, timestamp, trade_id, trade_number, off_book, known_at, sequence
FROM lake.trade;

-- Conditions on the columns of LIMIT BY reach the files through it; other conditions are looked at afterwards.
CREATE VIEW api.trade_last DEFINER = lake_owner SQL SECURITY DEFINER AS
SELECT exchange, market, side, quantity, price, timestamp, trade_id, trade_number, off_book, known_at, sequence
FROM lake.trade
WHERE NOT off_book
ORDER BY known_at DESC, sequence DESC, trade_number DESC
LIMIT 1 BY exchange, market, timestamp;

-- A float's shortest text is the number that the exchange printed.
CREATE VIEW api.funding_rate DEFINER = lake_owner SQL SECURITY DEFINER AS
SELECT
    exchange,
    contract_type,
    market,
    CAST(CAST((funding_us + 0.5) / 1000000 AS DateTime64(6, 'UTC')) AS DateTime64(9, 'UTC')) AS timestamp,
    CAST(toString(if(isFinite(funding.funding_rate), funding.funding_rate, NULL)) AS Nullable(Decimal(76, 20))) AS funding_rate,
    funding_rate AS rate,
    interval_hours,
    CAST((ts_local_us + 0.5) / 1000000 AS DateTime64(6, 'UTC')) AS known_at
FROM lake.funding AS funding;

CREATE VIEW api.market_spot DEFINER = lake_owner SQL SECURITY DEFINER AS
SELECT
    assumeNotNull(instruments.exchange) AS exchange,
    assumeNotNull(instruments.market) AS market_symbol,
    assumeNotNull(instruments.base_asset) AS base_asset,
    assumeNotNull(instruments.quote_asset) AS quote_asset,
    assumeNotNull(instruments.native_symbol) AS exchange_specific_symbol,
    market_symbol AS market, exchange_specific_symbol AS native_symbol,
    price_increment, quantity_increment, listed, valid_from,
    base_asset AS underlying_asset, settle_asset AS settling_asset, quote_asset AS denomination_asset
FROM lake.instruments AS instruments
WHERE asset_type = 'spot';

CREATE VIEW api.market_future DEFINER = lake_owner SQL SECURITY DEFINER AS
SELECT
    assumeNotNull(instruments.exchange) AS exchange,
    assumeNotNull(instruments.market) AS market_symbol,
    assumeNotNull(instruments.base_asset) AS underlying_asset,
    assumeNotNull(instruments.quote_asset) AS quote_asset,
    ifNull(settle_asset, '') AS settling_asset,
    quote_asset AS denomination_asset,
    expiration,
    contract_size,
    ifNull(instruments.contract_type, '') AS contract_type,
    if(asset_type = 'future', 'EXPIRING', 'PERPETUAL') AS future_type,
    assumeNotNull(instruments.native_symbol) AS exchange_specific_symbol,
    market_symbol AS market, exchange_specific_symbol AS native_symbol,
    underlying_asset AS base_asset, settling_asset AS settle_asset,
    future_type AS expiration_type,
    price_increment, quantity_increment, listed, valid_from
FROM lake.instruments AS instruments
WHERE asset_type != 'spot';

CREATE VIEW api.coverage DEFINER = lake_owner SQL SECURITY DEFINER AS
SELECT
    kind, exchange, market, native_symbol, first_date, last_date, partitions, missing_partitions, row_count,
    covered_share, missing_seconds, missing_ids, missing_candles, missing_stamps, off_grid, flagged, superseded
FROM lake.coverage;

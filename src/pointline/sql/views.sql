-- The views of `api` beside `api.ohlcv`, one after another. They read the tables of `lake`, which are made from what the lake holds.
-- Times: CAST((x + 0.5) / 1000000 AS DateTime64(6)) is the exact microsecond until 2100, and unlike fromUnixTimestamp64Micro it lets the
-- engine skip row groups by the bounds of their times.

CREATE VIEW api.trade DEFINER = lake_owner SQL SECURITY DEFINER AS
SELECT
    CAST((ts_event_us + 0.5) / 1000000 AS DateTime64(6, 'UTC')) AS timestamp,
    exchange,
    market,
    trade_id,
    CAST(price_int AS Decimal(38, 12)) / arrayElement({powers}, price_decimals + 1) AS price,
    {quantity} AS quantity,
    if(isNull(side), NULL, if(side, 'sell', 'buy')) AS side,
    ifNull(off_book, false) AS off_book,
    CAST((ts_local_us + 0.5) / 1000000 AS DateTime64(6, 'UTC')) AS known_at,
    source_row AS sequence
FROM lake.trades;

CREATE VIEW api.funding_rate DEFINER = lake_owner SQL SECURITY DEFINER AS
SELECT
    exchange,
    contract_type,
    market,
    CAST((funding_us + 0.5) / 1000000 AS DateTime64(6, 'UTC')) AS timestamp,
    funding_rate,
    interval_hours,
    CAST((ts_local_us + 0.5) / 1000000 AS DateTime64(6, 'UTC')) AS known_at
FROM lake.funding;

CREATE VIEW api.market_spot DEFINER = lake_owner SQL SECURITY DEFINER AS
SELECT exchange, market, native_symbol, base_asset, quote_asset, price_increment, quantity_increment, listed, valid_from
FROM lake.instruments
WHERE asset_type = 'spot';

CREATE VIEW api.market_future DEFINER = lake_owner SQL SECURITY DEFINER AS
SELECT
    exchange, market, native_symbol, base_asset, quote_asset, settle_asset,
    contract_type,
    if(asset_type = 'future', 'EXPIRING', 'PERPETUAL') AS expiration_type,
    expiration,
    contract_size,
    price_increment, quantity_increment, listed, valid_from
FROM lake.instruments
WHERE asset_type != 'spot';

CREATE VIEW api.coverage DEFINER = lake_owner SQL SECURITY DEFINER AS
SELECT
    kind, exchange, market, native_symbol, first_date, last_date, partitions, missing_partitions, row_count,
    covered_share, missing_seconds, missing_ids, missing_candles, missing_stamps, off_grid, flagged, superseded
FROM lake.coverage;

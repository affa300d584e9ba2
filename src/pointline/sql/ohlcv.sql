-- The parts of api.ohlcv, put together by pointline.sql.ohlcv: which of them, and how often, depends on what the lake holds.
-- $name is filled in there. A part begins at a line "-- [its name]".
-- Amounts are added up in the types in which they are stored; only the finished candle has the wide ones.

-- [bucket]
-- Row groups can be skipped by the bounds of their times through this form; with three arguments, or with intDiv twice, they cannot.
toStartOfInterval(toDateTime(intDiv($us, 1000000) - $shift, 'UTC'), toIntervalMinute($minutes)) + toIntervalSecond($shift)

-- [days]
-- Days of a market on which a table has candles that fit the duration.
SELECT exchange, market, day FROM lake.candle_days WHERE $minutes * 60 % seconds = 0

-- [days of others]
-- Those of them that another table serves: the finest that has the whole day, or where none has, the finest that has anything.
$days GROUP BY exchange, market, day HAVING argMin(seconds, rank) != $seconds

-- [one table]
-- Where candles come from a single table: half the planning of [several]. Prices are those of traded candles only.
SELECT
    $bucket AS start, start + toIntervalMinute($minutes) AS end, exchange, market,
    CAST(argMinOrNullIf(candle.open, start_us, $traded) AS $wide) AS open,
    CAST(maxOrNullIf(candle.high, $traded) AS $wide) AS high,
    CAST(minOrNullIf(candle.low, $traded) AS $wide) AS low,
    CAST(argMaxOrNullIf(candle.close, start_us, $traded) AS $wide) AS close,
    CAST(sum($volume) AS $wide) AS volume, sum(trade_count) AS count, toUInt32($minutes) AS duration_minutes,
    toUInt32(intDiv(count() * $seconds, 60)) AS minutes,
    CAST(count() * $seconds = $minutes * 60 AS Bool) AS complete,
    '$kind' AS source,
    fromUnixTimestamp64Micro(greatest(max(ts_local_us), toInt64(toUnixTimestamp(end)) * 1000000), 'UTC') AS known_at,
    intDiv(toInt64(toUnixTimestamp(end)) * 1000000 - maxOrNullIf(start_us, $traded) - $length_us, 1000000) AS close_age_seconds,
    close_age_seconds - $seconds * toInt64(arrayCount(us -> us > maxOrNullIf(start_us, $traded), groupArrayIf(start_us, NOT ($traded))))
        AS close_unknown_seconds,
    count() * $seconds / ($minutes * 60) AS covered_share
FROM lake.$kind AS candle
WHERE $where
GROUP BY start, exchange, market

-- [several]
-- Of the time between the last trade and the end of the candle is known what later candles without a trade cover.
SELECT
    bucket AS start, bucket + toIntervalMinute($minutes) AS end, exchange, market,
    CAST(argMin(first_price, first_us) AS $wide) AS open, CAST(max(high_price) AS $wide) AS high,
    CAST(min(low_price) AS $wide) AS low, CAST(argMax(last_price, last_us) AS $wide) AS close,
    CAST(sum(amount) AS $wide) AS volume, sum(trades) AS count, toUInt32($minutes) AS duration_minutes,
    toUInt32(intDiv(sum(covered_s), 60)) AS minutes,
    CAST(sum(covered_s) = $minutes * 60 AS Bool) AS complete,
    arrayStringConcat(arraySort(groupUniqArray(origin)), '+') AS source,
    fromUnixTimestamp64Micro(greatest(max(local_us), toInt64(toUnixTimestamp(end)) * 1000000), 'UTC') AS known_at,
    intDiv(toInt64(toUnixTimestamp(end)) * 1000000 - max(last_us), 1000000) AS close_age_seconds,
    close_age_seconds - arraySum(
        (quiet, seconds) -> seconds * toInt64(arrayCount(us -> us >= max(last_us), quiet)), groupArray(quiet_us), groupArray(length_s)
    ) AS close_unknown_seconds,
    sum(covered_s) / ($minutes * 60) AS covered_share
FROM (
$parts
)
GROUP BY bucket, exchange, market

-- [candles]
-- first_us and last_us are the start of the first traded candle and the end of the last.
SELECT
    $bucket AS bucket, exchange, market,
    argMinOrNullIf(open, start_us, $traded) AS first_price, maxOrNullIf(high, $traded) AS high_price, minOrNullIf(low, $traded) AS low_price,
    argMaxOrNullIf(close, start_us, $traded) AS last_price,
    sum($volume) AS amount, sum(trade_count) AS trades, toInt64(count()) * $seconds AS covered_s,
    minOrNullIf(start_us, $traded) AS first_us, maxOrNullIf(start_us, $traded) + $length_us AS last_us,
    groupArrayIf(start_us, NOT ($traded)) AS quiet_us, toInt64($seconds) AS length_s, max(ts_local_us) AS local_us, '$kind' AS origin
FROM lake.$kind AS candle
WHERE $where
GROUP BY bucket, exchange, market

-- [trades]
-- First minutes, in integers as far as a partition's decimals allow, then the duration. A trade belongs to the minute in which it happened.
-- Prints that are flagged as off-book are left out. A minute in which ids are missing counts for prices, and not as known.
SELECT
    $bucket AS bucket, exchange, market,
    argMin(opening, minute_us) AS first_price, max(highest) AS high_price, min(lowest) AS low_price, argMax(closing, minute_us) AS last_price,
    sum(traded) AS amount, CAST(sum(prints) AS Nullable(Int64)) AS trades, toInt64(uniqExactIf(minute_us, (exchange, market, minute_us) NOT IN (SELECT exchange, market, minute_us FROM lake.hole_minutes))) * 60
        AS covered_s,
    min(minute_us) AS first_us, max(minute_us) + 60000000 AS last_us,
    CAST([] AS Array(Int64)) AS quiet_us, toInt64(60) AS length_s, max(received_us) AS local_us, 'trades' AS origin
FROM (
    SELECT
        intDiv(ts_event_us, 60000000) * 60000000 AS minute_us, exchange, market,
        arrayElement($powers, price_decimals + 1) AS price_scale, arrayElement($powers, qty_decimals + 1) AS qty_scale,
        CAST(argMin(price_int, (ts_event_us, ts_local_us, source_row)) AS Decimal(38, 12)) / price_scale AS opening,
        CAST(max(price_int) AS Decimal(38, 12)) / price_scale AS highest,
        CAST(min(price_int) AS Decimal(38, 12)) / price_scale AS lowest,
        CAST(argMax(price_int, (ts_event_us, ts_local_us, source_row)) AS Decimal(38, 12)) / price_scale AS closing,
        $traded AS traded,
        toInt64(count()) AS prints, max(ts_local_us) AS received_us
    FROM lake.trades
    WHERE ($where) AND NOT ifNull(off_book, false)
    GROUP BY minute_us, exchange, market, price_decimals, qty_decimals$sizes
)
GROUP BY bucket, exchange, market

-- [trades without candles]
-- Files all of whose days have candles are not even opened; of the others, the days without candles count.
(exchange, market, _file) NOT IN (SELECT exchange, market, file FROM lake.covered_trades WHERE $minutes * 60 % seconds = 0)
AND (exchange, market, intDiv(ts_event_us, $day_us)) NOT IN ($days)

-- The parts of api.ohlcv for DuckDB, put together by pointline.export.ohlcv; they say the same as pointline/sql/ohlcv.sql.
-- $name is filled in there. A part begins at a line "-- [its name]".

-- [minutes]
CASE WHEN candle_duration_in_minutes BETWEEN 1 AND $longest AND candle_duration_in_minutes = floor(candle_duration_in_minutes)
    THEN CAST(candle_duration_in_minutes AS BIGINT)
    ELSE error('candle_duration_in_minutes is a whole number of minutes from 1 to $longest') END

-- [bucket]
-- Seconds of the candle's start: whole multiples of its length since 1970, those of whole weeks four days later, on Mondays.
(($us // 1000000 - $shift) // ($minutes * 60) * ($minutes * 60) + $shift)

-- [shift]
CASE WHEN $minutes % 10080 = 0 THEN 345600 ELSE 0 END

-- [several]
SELECT
    make_timestamp(bucket * 1000000) AS start, make_timestamp((bucket + $minutes * 60) * 1000000) AS "end", exchange, market,
    open, high, low, close, volume, CAST(prints AS BIGINT) AS count,
    CAST($minutes AS INTEGER) AS duration_minutes, CAST(covered_s // 60 AS INTEGER) AS minutes,
    covered_s = $minutes * 60 AS complete, source,
    make_timestamp(greatest(local_us, (bucket + $minutes * 60) * 1000000)) AS known_at,
    (bucket + $minutes * 60) - traded_until_us // 1000000 AS close_age_seconds,
    CAST((bucket + $minutes * 60) - traded_until_us // 1000000
        - list_sum([quiet.length_s * len([us FOR us IN quiet.started IF us >= traded_until_us]) FOR quiet IN quiets]) AS BIGINT)
        AS close_unknown_seconds,
    covered_s / ($minutes * 60) AS covered_share
FROM (
    SELECT
        bucket, exchange, market,
        arg_min(first_price, first_us) AS open, max(high_price) AS high, min(low_price) AS low, arg_max(last_price, last_us) AS close,
        sum(amount) AS volume, sum(prints) AS prints, CAST(sum(covered_s) AS BIGINT) AS covered_s,
        string_agg(DISTINCT origin, '+' ORDER BY origin) AS source, max(local_us) AS local_us, max(last_us) AS traded_until_us,
        list({'length_s': length_s, 'started': coalesce(quiet_us, [])}) AS quiets
    FROM (
$parts
    )
    GROUP BY bucket, exchange, market
)

-- [candles]
SELECT
    $bucket AS bucket, exchange, market,
    arg_min(open, start_us) FILTER (WHERE traded) AS first_price, max(high) FILTER (WHERE traded) AS high_price,
    min(low) FILTER (WHERE traded) AS low_price, arg_max(close, start_us) FILTER (WHERE traded) AS last_price,
    sum(volume) AS amount, sum(count) AS prints, count(*) * $seconds AS covered_s,
    min(start_us) FILTER (WHERE traded) AS first_us, max(start_us) FILTER (WHERE traded) + $length_us AS last_us,
    list(start_us) FILTER (WHERE NOT traded) AS quiet_us, $seconds AS length_s, max(ts_local_us) AS local_us, '$kind' AS origin
FROM api.$kind AS candle
WHERE $minutes * 60 % $seconds = 0 AND start_us % $length_us = 0$others
GROUP BY 1, 2, 3

-- [days of others]
AND NOT EXISTS (
    SELECT 1 FROM (
        SELECT exchange, market, day FROM internal.candle_days WHERE $minutes * 60 % seconds = 0
        GROUP BY exchange, market, day HAVING arg_min(seconds, rank) <> $seconds
    ) AS other
    WHERE other.exchange = candle.exchange AND other.market = candle.market AND other.day = candle.start_us // $day_us
)

-- [trades]
-- Of files all of whose days have candles of a minute or less nothing is read, whatever the duration: internal.uncovered_trades has them not.
SELECT
    $bucket AS bucket, minute.exchange, minute.market,
    arg_min(opening, minute.minute_us) AS first_price, max(highest) AS high_price, min(lowest) AS low_price,
    arg_max(closing, minute.minute_us) AS last_price,
    sum(traded) AS amount, sum(prints) AS prints, count(*) FILTER (WHERE hole.minute_us IS NULL) * 60 AS covered_s,
    min(minute.minute_us) AS first_us, max(minute.minute_us) + 60000000 AS last_us,
    CAST([] AS BIGINT[]) AS quiet_us, 60 AS length_s, max(received_us) AS local_us, 'trades' AS origin
FROM (
    SELECT
        ts_event_us // 60000000 * 60000000 AS minute_us, exchange, market,
        arg_min(price, row(ts_event_us, ts_local_us, sequence)) AS opening, max(price) AS highest, min(price) AS lowest,
        arg_max(price, row(ts_event_us, ts_local_us, sequence)) AS closing,
        sum(quantity) AS traded, count(*) AS prints, max(ts_local_us) AS received_us
    FROM internal.uncovered_trades AS trade
    WHERE NOT off_book$others
    GROUP BY 1, 2, 3
) AS minute
LEFT JOIN internal.hole_minutes AS hole USING (exchange, market, minute_us)
GROUP BY 1, 2, 3

-- [trades without candles]
-- Files all of whose days have longer candles that fit are left out whole; of the others, the days without candles count.
AND NOT EXISTS (
    SELECT 1 FROM internal.covered_trades AS covered
    WHERE covered.exchange = trade.exchange AND covered.market = trade.market AND covered.date = trade.date
        AND $minutes * 60 % covered.seconds = 0
) AND NOT EXISTS (
    SELECT 1 FROM internal.candle_days AS served
    WHERE served.exchange = trade.exchange AND served.market = trade.market AND served.day = trade.ts_event_us // $day_us
        AND $minutes * 60 % served.seconds = 0
)

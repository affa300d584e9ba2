// The statements that the examples and the views Spreads and Term structure write.
//
// A candle is joined with the reference's candle of the same start. A dated contract's last row is its last candle that ends by its
// delivery. Where the reference has no candle its close, and with it the spread, is null. The time of a close is the end of the last
// stored candle or minute in which something was traded.

import { DAY_MINUTES, daysOf, least, shifted } from './lake.js';

// Parts of a statement that reads dated contracts; years are actual days over 365, and there is no rate in the last day before delivery.
const BASIS = `c.close / r.spot_close - 1 AS basis,
    dateDiff('second', c.close_time, m.expiration) / 86400 AS days_to_expiry,
    if(days_to_expiry >= 1, 365 / days_to_expiry, NULL) AS periods`;
const RATES = `days_to_expiry, basis * 100 AS basis_pct,
       basis * periods * 100 AS annualised_simple_pct,
       (pow(1 + basis, periods) - 1) * 100 AS annualised_compounded_pct,
       log(1 + basis) * periods * 100 AS annualised_continuous_pct`;

// A text as a literal of SQL.
export function quoted(text) {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function isMarket({ exchange, market }, table = '') {
  return `${table}exchange = ${quoted(exchange)} AND ${table}market = ${quoted(market)}`;
}

function byExchange(all) {
  const found = new Map();
  for (const { exchange, market } of all) found.set(exchange, [...(found.get(exchange) ?? []), market]);
  return [...found];
}

function areMarkets(exchange, names) {
  return names.length === 1 ? isMarket({ exchange, market: names[0] }) : `exchange = ${quoted(exchange)} AND market IN (${names.map(quoted).join(', ')})`;
}

function anyOf(conditions, indent) {
  return conditions.map((condition) => `(${condition})`).join(`\n${' '.repeat(indent)}OR `);
}

function markets(all) {
  return `(${anyOf(byExchange(all).map(([exchange, names]) => areMarkets(exchange, names)), 15)})`;
}

const CLOSE_TIME = 'end - toIntervalSecond(ifNull(close_age_seconds, 0)) AS close_time';

function prices({ duration, reference, contracts }, condition) {
  return `candles AS (
        SELECT start, end, exchange, market, toFloat64(close) AS close,
               ${CLOSE_TIME}, known_at
        FROM api.ohlcv(candle_duration_in_minutes = ${duration})
        WHERE ${markets([reference, ...contracts])}
          AND ${condition}
    ),
    ${referenceOf(reference)}`;
}

function referenceOf(reference) {
  return `reference AS (
        SELECT start, toNullable(close) AS spot_close, close_time AS spot_close_time, known_at
        FROM candles
        WHERE ${isMarket(reference)}
    )`;
}

function between({ from, to }) {
  return `start >= '${from}' AND start < toDate('${to}') + 1`;
}

// Name of the column that tells the time of a row: days go by their date.
export function timeColumn(duration) {
  return duration < DAY_MINUTES ? 'start' : 'day';
}

function time(duration) {
  return duration < DAY_MINUTES ? 'c.start AS start' : 'toDate(c.start) AS day';
}

// Every contract's close against the reference's. Options: duration in minutes; reference and contracts as { exchange, market }; from and to
// as days, both inclusive.
export function spreadStatement(options) {
  const { duration } = options;
  return `WITH
    ${prices(options, between(options))}
SELECT ${time(duration)}, c.exchange AS exchange, c.market AS market, m.quote_asset AS quote,
       c.close AS close, r.spot_close AS spot_close,
       c.close - r.spot_close AS spread,
       spread / r.spot_close * 100 AS spread_pct,
       greatest(c.known_at, r.known_at) AS known_at
FROM candles AS c
JOIN api.market_future AS m ON m.exchange = c.exchange AND m.market = c.market
LEFT JOIN reference AS r ON r.start = c.start
WHERE m.expiration IS NULL OR c.end <= m.expiration
ORDER BY ${timeColumn(duration)}, exchange, market`;
}

// The yearly rates of dated contracts through time.
export function basisStatement(options) {
  const { duration } = options;
  return `WITH
    ${prices(options, between(options))},
    ${BASIS}
SELECT ${time(duration)}, c.exchange AS exchange, c.market AS market, m.quote_asset AS quote, m.expiration AS expiration,
       ${RATES},
       greatest(c.known_at, r.known_at) AS known_at
FROM candles AS c
JOIN api.market_future AS m ON m.exchange = c.exchange AND m.market = c.market
LEFT JOIN reference AS r ON r.start = c.start
WHERE c.end <= m.expiration
ORDER BY ${timeColumn(duration)}, expiration, exchange, market`;
}

const CURVE = `c.exchange AS exchange, c.market AS market, m.quote_asset AS quote,
       c.close AS close, c.close_time AS close_time,
       r.spot_close AS spot_close, r.spot_close_time AS spot_close_time,
       m.expiration AS expiration, ${RATES},
       greatest(c.known_at, r.known_at) AS known_at`;

// The curve by delivery as it was known at an instant: every dated contract's last basis whose candles were known by then and began
// at most three candles, or a day, before. Options as above, and at: the instant.
export function curveStatement(options) {
  const { duration, at } = options;
  const oldest = Math.max(3 * duration, DAY_MINUTES);
  const known = `known_at <= toDateTime('${at}') AND start >= toDateTime('${at}') - toIntervalMinute(${oldest}) AND close IS NOT NULL`;
  return `WITH
    ${prices(options, known)},
    ${BASIS}
SELECT ${CURVE}
FROM candles AS c
JOIN api.market_future AS m ON m.exchange = c.exchange AND m.market = c.market
JOIN reference AS r ON r.start = c.start
WHERE m.expiration > toDateTime('${at}')
ORDER BY c.end DESC, exchange, expiration, market
LIMIT 1 BY exchange, market`;
}

// The curve of the newest closes: every dated contract's last candle of which the reference has a close too, each with its time. Contracts
// that were delivered before the newest of these closes are left out. Options as above, with markets as `loadLake` gives them.
export function newestCurveStatement({ duration, reference, contracts }) {
  return `WITH
    candles AS (
        SELECT start, end, exchange, market, toFloat64(close) AS close,
               ${CLOSE_TIME}, known_at
        FROM api.ohlcv(candle_duration_in_minutes = ${duration})
        WHERE (${lastDays(reference, contracts)})
          AND close IS NOT NULL
    ),
    ${referenceOf(reference)},
    curve AS (
        WITH
            ${BASIS.replaceAll('\n', '\n        ')}
        SELECT c.start AS start, ${CURVE.replaceAll('\n', '\n        ')}
        FROM candles AS c
        JOIN api.market_future AS m ON m.exchange = c.exchange AND m.market = c.market
        JOIN reference AS r ON r.start = c.start
        WHERE c.close_time < m.expiration
    )
SELECT * EXCEPT start
FROM curve
WHERE expiration > (SELECT max(close_time) FROM curve)
ORDER BY start DESC, exchange, expiration, market
LIMIT 1 BY exchange, market`;
}

// Conditions on the last day of every contract that the reference has too, and the day before it.
function lastDays(reference, contracts) {
  const from = (one) => shifted(least([daysOf(one).last, daysOf(reference).last]), -1);
  const groups = new Map();
  for (const one of contracts) groups.set(from(one), [...(groups.get(from(one)) ?? []), one]);
  const first = least([...groups.keys()]);
  const parts = [...groups].map(([day, all]) => `start >= '${day}' AND ${markets(day === first ? [reference, ...all] : all)}`);
  return anyOf(parts, 12);
}

// The spreads in the form of the vendor's page, which joins days; by the hour where candles are shorter than a day.
export function vendorSpreadStatement({ duration, from, to, reference, contracts }) {
  const daily = duration === DAY_MINUTES;
  const column = timeColumn(duration);
  return `WITH
    '${from}' AS start_date,
    '${daily ? to : `${to} 23:59:59`}' AS end_date,
    candles AS (
        SELECT ${daily ? 'toDate(start) AS day' : 'start'}, exchange, market, toFloat64(close) AS close
        FROM api.ohlcv(candle_duration_in_minutes = ${duration})
        WHERE (
                  ${anyOf(byExchange([reference, ...contracts]).map(([exchange, names]) => areMarkets(exchange, names)), 15)}
              )
          AND start BETWEEN start_date AND end_date
    ),
    spot AS (
        SELECT ${column}, close AS spot_close
        FROM candles
        WHERE ${isMarket(reference)}
    )
SELECT c.${column}, c.exchange, c.market,
       c.close, s.spot_close,
       c.close - s.spot_close AS spread,
       (c.close - s.spot_close) / s.spot_close * 100 AS spread_pct
FROM candles c
JOIN spot s ON c.${column} = s.${column}
WHERE NOT (${isMarket(reference, 'c.')})
ORDER BY c.${column}, c.exchange, c.market
`;
}

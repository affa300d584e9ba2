// The statements that the views Spreads and Term structure write.
//
// A candle is joined with the reference's candle of the same start. A dated contract's last row is its last candle that ends by its
// delivery. Where the reference has no candle its close, and with it the spread, is null.

const DAY_MINUTES = 1440;

// Parts of a statement that reads dated contracts; years are actual days over 365, and there is no rate in the last day before delivery.
const BASIS = `c.close / r.spot_close - 1 AS basis,
    dateDiff('second', c.end, m.expiration) / 86400 AS days_to_expiry,
    if(days_to_expiry >= 1, 365 / days_to_expiry, NULL) AS periods`;
const RATES = `days_to_expiry, basis * 100 AS basis_pct,
       basis * periods * 100 AS annualised_simple_pct,
       (pow(1 + basis, periods) - 1) * 100 AS annualised_compounded_pct,
       log(1 + basis) * periods * 100 AS annualised_continuous_pct`;

// A text as a literal of SQL.
export function quoted(text) {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function isMarket({ exchange, market }) {
  return `exchange = ${quoted(exchange)} AND market = ${quoted(market)}`;
}

function markets(all) {
  const byExchange = new Map();
  for (const { exchange, market } of all) byExchange.set(exchange, [...(byExchange.get(exchange) ?? []), market]);
  const parts = [...byExchange].map(([exchange, names]) => `(exchange = ${quoted(exchange)} AND market IN (${names.map(quoted).join(', ')}))`);
  return `(${parts.join(`
               OR `)})`;
}

function prices({ duration, reference, contracts }, condition) {
  return `candles AS (
        SELECT start, end, exchange, market, toFloat64(close) AS close, known_at
        FROM api.ohlcv(candle_duration_in_minutes = ${duration})
        WHERE ${markets([reference, ...contracts])}
          AND ${condition}
    ),
    reference AS (
        SELECT start, toNullable(close) AS spot_close, known_at
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

// The curve by delivery as it was known at an instant: every dated contract's last basis whose candles were known by then and ended
// at most two candles before. Options as above, and at: the instant.
export function curveStatement(options) {
  const { duration, at } = options;
  const known = `known_at <= toDateTime('${at}') AND start >= toDateTime('${at}') - toIntervalMinute(${3 * duration})`;
  return `WITH
    ${prices(options, known)},
    ${BASIS}
SELECT c.exchange AS exchange, c.market AS market, m.quote_asset AS quote, m.expiration AS expiration,
       ${RATES},
       c.close AS close, r.spot_close AS spot_close,
       greatest(c.known_at, r.known_at) AS known_at
FROM candles AS c
JOIN api.market_future AS m ON m.exchange = c.exchange AND m.market = c.market
JOIN reference AS r ON r.start = c.start
WHERE m.expiration > toDateTime('${at}')
ORDER BY c.end DESC, exchange, expiration, market
LIMIT 1 BY exchange, market`;
}

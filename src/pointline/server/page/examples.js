// Statements to begin with, made for the markets and days that the lake has, and how each is drawn.

import { compare, contractsOf, daysOf, finestDuration, pairedBases, referencesOf, shifted, windowOf, DAYS_SHOWN } from './lake.js';
import { basisStatement, newestCurveStatement, quoted, spreadStatement, timeColumn, vendorSpreadStatement } from './statements.js';

const PAIR = 'exchange / market';
const MOST_CONTRACTS = 12;
const NO_PAIR = 'no asset here has a spot market and a contract on the same days';
const NO_DATED = 'no asset here has a spot market and a dated future on the same days';

const COVERAGE = `SELECT *
FROM api.coverage
ORDER BY kind, exchange, market, native_symbol`;

// { name, sql, chart, parameters }, or { name, reason } where the lake has nothing that it could show.
export function examplesOf(lake) {
  const [base, second] = pairedBases();
  const [first, other] = base === undefined ? [] : referencesOf(base).filter((spot) => contractsOf(spot).length);
  const oneAsset = base ? `${base} is the only asset here with a spot market and a contract` : NO_PAIR;
  const oneReference = base ? `${base} has one spot market here` : NO_PAIR;
  return [
    example('Spreads: spot, perpetuals, future', first ? firstSpreads(first) : NO_PAIR),
    example('Annualised basis', withDated(annualisedBasis)),
    example('Term structure of the newest closes', withDated(newestCurve)),
    example(second ? `Another asset: ${second}` : 'Another asset', second ? spreads(referencesOf(second)[0]) : oneAsset),
    example(other ? `Another reference: ${other.exchange} ${other.market}` : 'Another reference', other ? spreads(other) : oneReference),
    example('Candles of any length, with parameters', candles(lake.markets)),
    example('Funding by day', funding(lake.funding)),
    example('The last trades', trades(lake.trades)),
    example('Coverage: what the lake holds', lake.isEmpty ? 'the lake is empty' : { sql: COVERAGE, chart: { kind: 'none' } }),
  ];
}

function example(name, made) {
  return typeof made === 'string' ? { name, reason: made } : { name, parameters: {}, ...made };
}

function spreadChart(duration) {
  return { kind: 'line', x: timeColumn(duration), y: 'spread_pct', series: PAIR };
}

// All perpetuals and the dated future that is delivered next after the window.
function firstSpreads(reference) {
  const found = windowOf(reference, contractsOf(reference));
  const alive = found.contracts.filter((one) => daysOf(one).last >= found.to);
  const order = (one) => [one.expiration, one.quote === reference.quote ? 0 : 1];
  const [next] = alive.filter((one) => one.kind === 'EXPIRING').sort((a, b) => compare(order(a), order(b)));
  const perpetuals = found.contracts.filter((one) => one.kind === 'PERPETUAL');
  const chosen = [...perpetuals.slice(0, MOST_CONTRACTS - 1), ...(next ? [next] : [])];
  const contracts = chosen.length ? chosen : found.contracts.slice(0, MOST_CONTRACTS);
  contracts.sort((a, b) => Number(b.quote === reference.quote) - Number(a.quote === reference.quote)); // like quotes first
  return { sql: vendorSpreadStatement({ ...found, reference, contracts }), chart: spreadChart(found.duration) };
}

function spreads(reference) {
  const found = windowOf(reference, contractsOf(reference));
  return { sql: spreadStatement({ ...found, reference, contracts: found.contracts.slice(0, MOST_CONTRACTS) }), chart: spreadChart(found.duration) };
}

// What `make` makes of the first reference that has dated futures, and of those.
function withDated(make) {
  for (const reference of pairedBases().flatMap(referencesOf)) {
    const dated = contractsOf(reference).filter((one) => one.kind === 'EXPIRING');
    if (dated.length) return make(reference, dated);
  }
  return NO_DATED;
}

function annualisedBasis(reference, dated) {
  const found = windowOf(reference, dated);
  const sql = basisStatement({ ...found, reference, contracts: found.contracts.slice(-MOST_CONTRACTS) });
  return { sql, chart: { kind: 'line', x: timeColumn(found.duration), y: 'annualised_simple_pct', series: PAIR } };
}

function newestCurve(reference, dated) {
  const { to, contracts: all } = windowOf(reference, dated);
  const alive = all.filter((one) => one.expiration > to);
  const contracts = (alive.length ? alive : all).slice(0, MOST_CONTRACTS);
  const sql = newestCurveStatement({ duration: finestDuration([reference, ...contracts]), reference, contracts });
  return { sql, chart: { kind: 'line', x: 'days_to_expiry', y: 'annualised_simple_pct', series: 'exchange / quote' } };
}

function candles(markets) {
  if (markets.length === 0) return 'the lake has no candles and no trades';
  const [one] = [...markets].sort((a, b) => Number(b.base === 'BTC') - Number(a.base === 'BTC'));
  const { first, last } = daysOf(one);
  const from = [first, shifted(last, 1 - DAYS_SHOWN)].sort()[1];
  const hourly = shifted(from, 7) > last && daysOf(one, 60)?.first <= from && daysOf(one, 60)?.last === last;
  return {
    sql: `SELECT start, exchange, market, open, high, low, close, volume, complete
FROM api.ohlcv(candle_duration_in_minutes = {minutes:UInt32})
WHERE exchange = {exchange:String} AND market = {market:String}
  AND start >= {from:Date} AND start < {to:Date} + 1
ORDER BY start`,
    chart: { kind: 'line', x: 'start', y: 'close', series: PAIR },
    parameters: { minutes: hourly ? '60' : '1440', exchange: one.exchange, market: one.market, from, to: last },
  };
}

function funding(all) {
  if (all.length === 0) return 'the lake has no settled funding';
  const base = all.some((one) => one.base === 'BTC') ? 'BTC' : all[0].base;
  const own = all.filter((one) => one.base === base).slice(0, MOST_CONTRACTS);
  const last = own.map((one) => daysOf(one).last).sort().at(-1);
  return {
    sql: `SELECT toDate(timestamp) AS day, exchange, market,
       sum(toFloat64(funding_rate)) * 100 AS funding_pct, count() AS payments
FROM api.funding_rate
WHERE ${own.map(({ exchange, market }) => `(exchange = ${quoted(exchange)} AND market = ${quoted(market)})`).join(`
   OR `).replace(/^/, '(')})
  AND timestamp >= '${shifted(last, 1 - DAYS_SHOWN)}'
GROUP BY day, exchange, market
ORDER BY day, exchange, market`,
    chart: { kind: 'bar', x: 'day', y: 'funding_pct', series: PAIR },
  };
}

function trades(all) {
  if (all.length === 0) return 'the lake has no trades';
  const one = all.find(({ base, kind }) => base === 'BTC' && kind !== 'SPOT') ?? all[0];
  return {
    sql: `SELECT timestamp, exchange, market, trade_id, price, quantity, side, sequence
FROM api.trade
WHERE exchange = ${quoted(one.exchange)} AND market = ${quoted(one.market)}
  AND timestamp >= '${daysOf(one).last}'
ORDER BY timestamp DESC, sequence DESC
LIMIT 500`,
    chart: { kind: 'scatter', x: 'timestamp', y: 'price', series: PAIR },
  };
}

// What the lake holds: its markets with the days and the candles that there are. Examples and forms choose from it.

import { ask } from './server.js';

export const DAY_MINUTES = 1440;
export const DAYS_SHOWN = 31;
const FEW_DAYS = 3; // up to here a chart is drawn by the hour
const DAY_MS = 86_400_000;
const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 };
const INSTRUMENTS = `SELECT 'SPOT' AS kind, exchange, market, base_asset, quote_asset, '' AS contract_type, NULL AS expiration
FROM api.market_spot
UNION ALL
SELECT expiration_type AS kind, exchange, market, base_asset, quote_asset, contract_type, expiration
FROM api.market_future`;
const COVERAGE = 'SELECT kind, exchange, market, first_date, last_date FROM api.coverage';

const EMPTY = { markets: [], funding: [], trades: [], isEmpty: true };
let lake = EMPTY;
let assets = new Map();

// Reads what there is and returns it: { markets, funding, trades, isEmpty }. Each of them is a list of
// { kind, exchange, market, base, quote, inverse, expiration, sources } ordered by base, exchange and market, where the kind is SPOT, PERPETUAL or EXPIRING
// and a source is { seconds, first, last }: the length of its candles (0 of trades) and its days. Raises what `ask` raises.
export async function loadLake() {
  const [instruments, coverage] = await Promise.all([ask(INSTRUMENTS), ask(COVERAGE)]);
  const all = instruments.rows.map(([kind, exchange, market, base, quote, type, expiration]) =>
    ({ kind, exchange, market, base, quote, inverse: String(type).includes('INVERSE'), expiration: expiration ?? '' }));
  all.sort((a, b) => compare([a.base, a.exchange, a.market], [b.base, b.exchange, b.market]));
  assets = new Map(all.map((one) => [keyOf(one), one]));
  const held = (test) => {
    const sources = new Map();
    for (const [kind, exchange, market, first, last] of coverage.rows) {
      const seconds = test(kind);
      const key = keyOf({ exchange, market });
      if (seconds !== null) sources.set(key, [...(sources.get(key) ?? []), { seconds, first, last }]);
    }
    return all.filter((one) => sources.has(keyOf(one))).map((one) => ({ ...one, sources: sources.get(keyOf(one)) }));
  };
  lake = {
    markets: held(candleSeconds),
    funding: held((kind) => (kind === 'funding' ? 0 : null)),
    trades: held((kind) => (kind === 'trades' ? 0 : null)),
    isEmpty: coverage.rows.length === 0,
  };
  return lake;
}

export function heldLake() {
  return lake;
}

// Assets of a market: { base, quote, inverse }, or undefined. The exchange may be missing where the markets of that name agree.
export function assetsOf(exchange, market) {
  if (exchange !== undefined) return assets.get(keyOf({ exchange, market }));
  const named = [...assets.values()].filter((one) => one.market === market);
  return new Set(named.map((one) => `${one.base} ${one.quote} ${one.inverse}`)).size === 1 ? named[0] : undefined;
}

export function keyOf({ exchange, market }) {
  return `${exchange}:${market}`;
}

// Lists of texts, by the first that differs.
export function compare(a, b) {
  const place = a.findIndex((value, n) => value !== b[n]);
  return place < 0 ? 0 : a[place] < b[place] ? -1 : 1;
}

// Length of the candles of a table that `api.ohlcv` reads, 0 of trades, else null.
function candleSeconds(kind) {
  if (kind === 'trades') return 0;
  const found = /^candles_(\d+)([smhd])$/.exec(kind);
  const seconds = found ? Number(found[1]) * SECONDS[found[2]] : null;
  return seconds !== null && seconds <= SECONDS.d ? seconds : null;
}

// First and last day of which there are candles of a length in minutes, or null.
export function daysOf(one, minutes = DAY_MINUTES) {
  const fitting = one.sources.filter(({ seconds }) => seconds === 0 || (minutes * 60) % seconds === 0);
  if (fitting.length === 0) return null;
  return { first: least(fitting.map(({ first }) => first)), last: greatest(fitting.map(({ last }) => last)) };
}

export function least(texts) {
  return texts.reduce((a, b) => (b < a ? b : a));
}

export function greatest(texts) {
  return texts.reduce((a, b) => (b > a ? b : a));
}

export function shifted(day, days) {
  return new Date(Date.parse(day) + days * DAY_MS).toISOString().slice(0, 10);
}

function meet(a, b) {
  return a !== null && b !== null && a.first <= b.last && b.first <= a.last;
}

export function spotsOf(base) {
  return lake.markets.filter((one) => one.base === base && one.kind === 'SPOT');
}

// Contracts that have days in common with a reference.
export function contractsOf(reference) {
  return lake.markets.filter((one) => one.base === reference.base && one.kind !== 'SPOT' && meet(daysOf(one), daysOf(reference)));
}

// The spot markets of an asset, first the one against which most contracts of its own quote, then most contracts can be held.
export function referencesOf(base) {
  const rank = (spot) => {
    const contracts = contractsOf(spot);
    return contracts.filter((one) => one.quote === spot.quote).length * 1e6 + contracts.length;
  };
  return spotsOf(base).map((spot) => [rank(spot), spot]).sort(([a], [b]) => b - a).map(([, spot]) => spot);
}

// Assets of which the lake has a spot market and a contract on the same days; BTC comes first, then those with most contracts.
export function pairedBases() {
  const bases = [...new Set(lake.markets.map((one) => one.base))].filter((base) => spotsOf(base).some((spot) => contractsOf(spot).length));
  const rank = (base) => (base === 'BTC' ? Infinity : contractsOf(referencesOf(base)[0]).length);
  return bases.map((base) => [rank(base), base]).sort(([a], [b]) => (a < b ? 1 : a > b ? -1 : 0)).map(([, base]) => base);
}

// The last month in which a reference and contracts, of which there is one at least, have data: { from, to, duration, contracts }. Days are
// inclusive, contracts are those that have any of them, and the duration is an hour where there are few days, else a day.
export function windowOf(reference, contracts) {
  const days = windowAt(reference, contracts, DAY_MINUTES);
  if (shifted(days.from, FEW_DAYS) > days.to) {
    const hours = windowAt(reference, contracts, 60);
    if (hours !== null && hours.from === days.from && hours.to === days.to && hours.contracts.length === days.contracts.length) return hours;
  }
  return days;
}

function windowAt(reference, contracts, duration) {
  const own = daysOf(reference, duration);
  const fitting = contracts.filter((one) => meet(daysOf(one, duration), own));
  if (fitting.length === 0) return null;
  const to = least([own.last, greatest(fitting.map((one) => daysOf(one, duration).last))]);
  const from = greatest([own.first, least(fitting.map((one) => daysOf(one, duration).first)), shifted(to, 1 - DAYS_SHOWN)]);
  return { from, to, duration, contracts: fitting.filter((one) => meet(daysOf(one, duration), { first: from, last: to })) };
}

// The shortest candles of which all of the markets have as new ones as they have of days.
export function finestDuration(markets) {
  const asNew = (minutes) => markets.every((one) => daysOf(one, minutes)?.last === daysOf(one)?.last);
  return [1, 5, 15, 60, 240].find(asNew) ?? DAY_MINUTES;
}

// Units of columns by their names, and how many digits of their values are worth showing.

import { assetsOf } from './lake.js';
import { zoneOf } from './result.js';

const PRICE = /^(?:open|high|low|close|price|vwap|spread|strike)$|_(?:close|price|vwap|spread)$/;
const AMOUNT = /^(?:volume|quantity|amount)$|_(?:volume|quantity)$/;
const MOST_NAMES = 3;
const BY_NAME = [
  [/(?:_pct|percent)$/, '%'],
  [/_bps$/, 'bps'],
  [/^days_|_days$/, 'days'],
  [/_hours$/, 'hours'],
  [/_minutes$|^minutes$/, 'minutes'],
  [/_seconds$/, 's'],
  [/_ms$/, 'ms'],
  [/_us$/, 'µs'],
  [/^funding_rate$/, 'fraction of the notional per interval'],
  [/_share$/, 'fraction'],
];

// Title of an axis: the column with its unit, such as `spread_pct (%)` or `start (UTC)`.
export function titleOf(result, name) {
  const unit = unitOf(result, name);
  return unit ? `${name} (${unit})` : name;
}

function unitOf(result, name) {
  const column = result.columns.find((one) => one.name === name);
  const type = column?.type ?? '';
  if (/Date/.test(type)) return zoneOf(type);
  const known = BY_NAME.find(([pattern]) => pattern.test(name));
  if (known) return known[1];
  if (PRICE.test(name)) return namesOf(result, 'quote', 'quote asset');
  return AMOUNT.test(name) ? namesOf(result, 'base', 'base asset; contracts where inverse') : '';
}

// The assets of all rows, as far as the lake or a column of the result gives them.
function namesOf({ columns, rows }, role, unknown) {
  const at = (...names) => columns.findIndex((column) => names.includes(column.name));
  const own = role === 'quote' ? at('quote', 'quote_asset', 'denomination_asset') : -1;
  const [exchange, market] = [at('exchange'), at('market')];
  if (own < 0 && market < 0) return unknown;
  const found = new Set();
  const seen = new Set();
  for (const row of rows) {
    const key = own >= 0 ? row[own] : `${row[exchange]}:${row[market]}`;
    if (seen.has(key)) continue;
    seen.add(key);
    found.add(own >= 0 ? key : assetName(assetsOf(exchange < 0 ? undefined : row[exchange], row[market]), role));
    if (found.size > MOST_NAMES) return unknown;
  }
  return found.size && !found.has(undefined) && !found.has(null) ? [...found].join(' or ') : unknown;
}

function assetName(assets, role) {
  return assets && role === 'base' && assets.inverse ? 'contracts' : assets?.[role];
}

// The format in which numbers of a column are shown in a chart: seven digits of the largest, five of a share; zeros at the end are left out.
export function formatOf(name, values) {
  let most = 0;
  for (const value of values) if (Number.isFinite(value)) most = Math.max(most, Math.abs(value));
  const digits = /(?:_pct|percent|_bps|_share)$/.test(name) ? 5 : 7;
  const places = most === 0 ? 0 : Math.min(20, Math.max(0, digits - 1 - Math.floor(Math.log10(most))));
  return `,.${places}~f`;
}

// How a time is shown: as fine as the finest of them.
export function timeFormatOf(times) {
  if (times.every((time) => time.length <= 10)) return '%Y-%m-%d';
  if (times.every((time) => /:00(?:\.0+)?$/.test(time))) return '%Y-%m-%d %H:%M';
  return times.every((time) => !/\.\d*[1-9]/.test(time)) ? '%Y-%m-%d %H:%M:%S' : '%Y-%m-%d %H:%M:%S.%f';
}

// What a chart of a result can show, and what it shows unless something else is chosen.

import { VIEWS } from './descriptions.js';
import { isNumber, isText, isTime } from './result.js';

const PAIRS = ['exchange / market', 'exchange / quote'];
const MOST_BARS = 60;
const OF_VIEWS = new Set(Object.values(VIEWS).flatMap(({ columns }) => Object.keys(columns)));
const INTERNAL = /^(?:spot_close|reference_close|periods|basis)$/; // parts of what the statement computes
const CHECKED_ROWS = 50_000;
const CANDLE = ['open', 'high', 'low', 'close'];

// What can be chosen for each role of a chart.
export function choices({ columns }) {
  const names = (test) => columns.filter((column) => test(column.type)).map((column) => column.name);
  const texts = names(isText);
  const pairs = PAIRS.filter((pair) => partsOf(pair).every((part) => texts.includes(part)));
  return { x: columns.map((column) => column.name), y: names(isNumber), series: ['', ...pairs, ...texts] };
}

// The columns that a series is made of.
export function partsOf(series) {
  if (series === '') return [];
  return PAIRS.includes(series) ? series.split(' / ') : [series];
}

// The wanted chart as far as the result has its columns, completed by a guess: time to the right, the number that the statement computes
// upwards, and a line for each exchange and market.
export function fitted(result, wanted) {
  const possible = choices(result);
  if (!['x', 'y'].every((role) => wanted[role] === undefined || possible[role].includes(wanted[role]))) wanted = {}; // made for another result
  const pick = (role, ...others) => [wanted[role], ...others].find((name) => name !== undefined && possible[role].includes(name));
  const time = result.columns.find((column) => isTime(column.type))?.name;
  const text = possible.series.find((name) => name && !PAIRS.includes(name));
  const x = pick('x', time, text, possible.x[0]);
  const y = pick('y', guessedNumber(possible.y.filter((name) => name !== x)), possible.y.at(-1));
  const kind = y === undefined ? 'none' : (wanted.kind ?? guessedKind(result.rows.length, time, text));
  return { kind, x, y, series: pick('series', guessedSeries(result, x, possible.series), '') };
}

function guessedNumber(names) {
  if (CANDLE.every((name) => names.includes(name))) return 'close';
  const computed = names.filter((name) => !OF_VIEWS.has(name) && !INTERNAL.test(name));
  return computed.at(-1) ?? ['close', 'price', 'funding_rate'].find((name) => names.includes(name)) ?? names.at(-1);
}

function guessedKind(rows, time, text) {
  if (rows < 2) return 'none';
  if (time !== undefined) return 'line';
  return text !== undefined && rows <= MOST_BARS ? 'bar' : 'none';
}

// Exchange and market where there are both, else what distinguishes rows of one x.
function guessedSeries({ columns, rows }, x, possible) {
  const named = [PAIRS[0], 'market', 'market_symbol'].find((name) => possible.includes(name));
  if (named) return named === x ? '' : named;
  const at = (name) => columns.findIndex((column) => column.name === name);
  const some = rows.slice(0, CHECKED_ROWS);
  const apart = (name) => new Set(some.map((row) => JSON.stringify([row[at(x)], ...partsOf(name).map((part) => row[at(part)])]))).size === some.length;
  return possible.filter((name) => name !== x).find(apart) ?? '';
}

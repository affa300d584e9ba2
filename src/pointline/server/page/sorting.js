// The order of a column's values. NULL and values that are no number come last, whichever way it goes.

import { cellText, isNumber } from './result.js';

const DIGITS = /^-?\d+(?:\.\d+)?$/;

// The places of the rows in the order of a column: { column, descending }, or as they came where it is null.
export function sortedPlaces({ columns, rows }, order) {
  const places = rows.map((_, n) => n);
  if (order === null) return places;
  const texts = rows.map((row) => row[order.column]).filter((value) => value !== null);
  const numeric = isNumber(columns[order.column].type) || texts.every((text) => DIGITS.test(text)); // ids and seconds come as text
  const compare = numeric ? compareNumbers : compareTexts;
  const way = order.descending ? -1 : 1;
  const value = (place) => rows[place][order.column];
  return places.sort((a, b) => rank(value(a)) - rank(value(b)) || way * compare(value(a), value(b)));
}

// Values, then nan, then NULL.
function rank(value) {
  if (value === null) return 2;
  return value === 'nan' || value === '-nan' ? 1 : 0;
}

function toNumber(value) {
  if (value === 'inf') return Infinity;
  return value === '-inf' ? -Infinity : Number(value);
}

// Decimals and whole numbers come as text; those which a JavaScript number does not tell apart are compared digit by digit.
function compareNumbers(a, b) {
  const [x, y] = [toNumber(a), toNumber(b)];
  if (x !== y) return x < y ? -1 : x > y ? 1 : 0;
  const [left, right] = [String(a), String(b)];
  return left !== right && DIGITS.test(left) && DIGITS.test(right) ? compareDigits(left, right) : 0;
}

function compareDigits(left, right) {
  const places = Math.max(fraction(left).length, fraction(right).length);
  const scaled = (text) => BigInt(text.split('.')[0] + fraction(text).padEnd(places, '0'));
  const [x, y] = [scaled(left), scaled(right)];
  return x < y ? -1 : Number(x > y);
}

function fraction(text) {
  return text.split('.')[1] ?? '';
}

function compareTexts(a, b) {
  const [x, y] = [cellText(a), cellText(b)];
  return x < y ? -1 : Number(x > y);
}

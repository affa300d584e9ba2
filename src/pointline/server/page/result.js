// A result as values: what its types mean, how a cell reads, and the whole of it as CSV.

const WRAPPED = /^(?:Nullable|LowCardinality)\((.*)\)$/;
const SHOWN_DIGITS = 10;

export function plainType(type) {
  const inside = WRAPPED.exec(type);
  return inside ? plainType(inside[1]) : type;
}

export function isNumber(type) {
  return /^(?:U?Int|Float|BFloat|Decimal)\d*/.test(plainType(type));
}

export function isTime(type) {
  return /^Date/.test(plainType(type));
}

export function isText(type) {
  return /^(?:String|FixedString|Enum|UUID|Bool)/.test(plainType(type));
}

// The zone that a time is shown in.
export function zoneOf(type) {
  return /'([^']+)'/.exec(plainType(type))?.[1] ?? 'UTC';
}

export function cellText(value) {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

// A number rounded to ten digits, of which no digit before the point is rounded away; zeros at the end are left out.
export function numberText(value) {
  const found = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(value));
  if (!found) return String(value);
  const [, sign, whole, fraction = ''] = found;
  const digits = whole === '0' ? -/^0*/.exec(fraction)[0].length : whole.length;
  const places = Math.min(fraction.length, Math.max(0, SHOWN_DIGITS - digits));
  const up = Number(fraction[places] ?? 0) >= 5 ? 1n : 0n;
  const all = (BigInt(whole + fraction.slice(0, places)) + up).toString().padStart(places + 1, '0');
  const text = places ? `${all.slice(0, -places)}.${all.slice(-places)}`.replace(/\.?0+$/, '') : all;
  return text === '0' ? text : sign + text;
}

// Nothing between the commas is null, "" is an empty text.
export function toCsv({ columns, rows }) {
  const lines = [columns.map((column) => column.name), ...rows];
  return lines.map((line) => `${line.map(csvField).join(',')}\r\n`);
}

function csvField(value) {
  if (value === null) return '';
  const text = cellText(value);
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

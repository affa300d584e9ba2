// A result as values: what its types mean, how a cell reads, and the whole of it as CSV.

const WRAPPED = /^(?:Nullable|LowCardinality)\((.*)\)$/;

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

export function cellText(value) {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
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

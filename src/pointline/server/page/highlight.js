// The parts of a statement: what is a comment, a text, a parameter, a word. The colours of the query box and the fields of parameters follow them.

const TOKEN = new RegExp([
  '(?<comment>--[^\\n]*|#[ !][^\\n]*|/\\*[^]*?(?:\\*/|$))',
  "(?<text>'(?:[^'\\\\]|\\\\[^]|'')*(?:'|$)|\\$(?<tag>\\w*)\\$[^]*?(?:\\$\\k<tag>\\$|$))",
  '(?<name>"(?:[^"\\\\]|\\\\[^]|"")*(?:"|$)|`(?:[^`\\\\]|\\\\[^]|``)*(?:`|$))',
  '(?<parameter>\\{\\s*[A-Za-z_]\\w*\\s*:[^{}]*\\})',
  '(?<number>(?<![\\w.])(?:0[xX][\\da-fA-F]+|\\d+(?:\\.\\d*)?(?:[eE][+-]?\\d+)?)(?!\\w))',
  '(?<word>[A-Za-z_]\\w*)',
].join('|'), 'g');
// END is left out, because candles have a column of that name.
const KEYWORDS = new Set(`all and anti any array as asc asof between by case cast cross cube current desc describe distinct else except exists
  explain false fill filter final first following format from full global group grouping having ilike in inner intersect interpolate interval into is
  join last left like limit materialized not null nulls offset on only or order outer over partition preceding prewhere qualify range recursive right
  rollup row rows sample select semi sets settings show step table then ties to totals true unbounded union using values when where window with`
  .split(/\s+/));

// { kind, text } from beginning to end, where the kind is comment, text, name, parameter, number, keyword, function or plain.
export function tokens(sql) {
  const found = [];
  let end = 0;
  for (const match of sql.matchAll(TOKEN)) {
    if (match.index > end) found.push({ kind: 'plain', text: sql.slice(end, match.index) });
    end = match.index + match[0].length;
    found.push({ kind: kindOf(match, sql, end), text: match[0] });
  }
  if (end < sql.length) found.push({ kind: 'plain', text: sql.slice(end) });
  return found;
}

function kindOf({ groups }, sql, end) {
  const kind = ['comment', 'text', 'name', 'parameter', 'number'].find((one) => groups[one] !== undefined);
  if (kind) return kind;
  if (KEYWORDS.has(groups.word.toLowerCase()) && sql[end - groups.word.length - 1] !== '.') return 'keyword';
  return sql[end] === '(' ? 'function' : 'plain';
}

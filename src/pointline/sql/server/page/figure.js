// The figure of a result: which columns stand for what, and what plotly is given to draw.

import { cellText, isNumber, isText, isTime } from './result.js';

const MOST_ROWS = 50_000;
const MOST_SERIES = 40;
const MOST_BARS = 60;
const MARKED_POINTS = 62; // up to here each point of a line is marked
const PAIR = 'exchange / market';
const INTERNAL = /^(?:close|spot_close|open|high|low|volume|count|minutes|periods|basis|partitions)$/;

// What can be chosen for each role of a chart.
export function choices({ columns }) {
  const names = (test) => columns.filter((column) => test(column.type)).map((column) => column.name);
  const texts = names(isText);
  const pair = texts.includes('exchange') && texts.includes('market') ? [PAIR] : [];
  return { x: columns.map((column) => column.name), y: names(isNumber), series: ['', ...pair, ...texts] };
}

// The wanted chart as far as the result has its columns, completed by a guess.
export function fitted(result, wanted) {
  const possible = choices(result);
  if (!['x', 'y'].every((role) => wanted[role] === undefined || possible[role].includes(wanted[role]))) wanted = {}; // made for another result
  const pick = (role, ...others) => [wanted[role], ...others].find((name) => name !== undefined && possible[role].includes(name));
  const time = result.columns.find((column) => isTime(column.type))?.name;
  const number = possible.y.findLast((name) => !INTERNAL.test(name));
  const text = possible.series.find((name) => name && name !== PAIR);
  const x = pick('x', time, text, possible.x[0]);
  const y = pick('y', number, possible.y.at(-1));
  const kind = y === undefined ? 'none' : (wanted.kind ?? guessedKind(result.rows.length, time, text));
  return { kind, x, y, series: pick('series', ...(x === time ? [PAIR, 'market'] : []), '') };
}

function guessedKind(rows, time, text) {
  if (rows < 2) return 'none';
  if (time !== undefined) return 'line';
  return text !== undefined && rows <= MOST_BARS ? 'bar' : 'none';
}

// What to draw: { data, layout, note }. Colours come from the page's style.
export function figure(result, chart, colours) {
  const rows = result.rows.slice(0, MOST_ROWS);
  const read = reader(result.columns, chart);
  const groups = new Map();
  for (const row of rows) {
    const name = read.series(row);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push([read.x(row), read.y(row)]);
  }
  const shown = [...groups].slice(0, MOST_SERIES);
  const data = chart.kind === 'heatmap' ? [heatMap(shown, chart)] : shown.map((group, n) => trace(group, chart, colours.series[n % colours.series.length], read.ordered));
  const notes = [];
  if (result.rows.length > MOST_ROWS) notes.push(`The first ${MOST_ROWS.toLocaleString('en')} of ${result.rows.length.toLocaleString('en')} rows are drawn.`);
  if (groups.size > MOST_SERIES) notes.push(`The first ${MOST_SERIES} of ${groups.size.toLocaleString('en')} series are drawn.`);
  return { data, layout: layout(chart, colours, read.axis, shown.length), note: notes.join(' ') };
}

function reader(columns, { x, y, series }) {
  const at = (name) => columns.findIndex((column) => column.name === name);
  const [atX, atY] = [at(x), at(y)];
  const parts = series ? (series === PAIR ? ['exchange', 'market'] : [series]).map(at) : [];
  const type = columns[atX].type;
  const numeric = isNumber(type);
  return {
    x: (row) => (row[atX] === null ? null : numeric ? Number(row[atX]) : escaped(cellText(row[atX]))),
    y: (row) => (row[atY] === null ? null : Number(row[atY])),
    series: (row) => parts.map((part) => escaped(cellText(row[part]))).join(' / '),
    ordered: numeric || isTime(type),
    axis: numeric ? 'linear' : isTime(type) ? 'date' : 'category',
  };
}

// plotly takes a few tags in its texts; what comes from the server is text.
function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function trace([name, points], { kind, x, y }, colour, ordered) {
  const sorted = kind === 'line' && ordered ? points.toSorted(([a], [b]) => (a < b ? -1 : Number(a > b))) : points;
  const common = {
    name: name || escaped(y),
    x: sorted.map(([value]) => value),
    y: sorted.map(([, value]) => value),
    hovertemplate: `%{x}: %{y}<extra>${name || escaped(y)}</extra>`,
    marker: { color: colour },
  };
  if (kind === 'bar') return { ...common, type: 'bar' };
  const mode = kind === 'scatter' ? 'markers' : points.length > MARKED_POINTS ? 'lines' : 'lines+markers';
  return { ...common, type: 'scatter', mode, line: { color: colour, width: 2 }, marker: { color: colour, size: kind === 'scatter' ? 6 : 5 } };
}

function heatMap(groups, { y }) {
  const xs = [...new Set(groups.flatMap(([, points]) => points.map(([x]) => x)))].sort((a, b) => (a < b ? -1 : Number(a > b)));
  const cells = groups.map(([, points]) => {
    const values = new Map(points);
    return xs.map((x) => values.get(x) ?? null);
  });
  const below = cells.flat().some((value) => value !== null && value < 0);
  return {
    type: 'heatmap',
    x: xs,
    y: groups.map(([name]) => name || escaped(y)),
    z: cells,
    ...(below ? { colorscale: 'RdBu', zmid: 0 } : { colorscale: 'Viridis' }),
    hovertemplate: '%{y}<br>%{x}: %{z}<extra></extra>',
    colorbar: { thickness: 12, title: { text: escaped(y), side: 'right' } },
  };
}

function layout({ kind, x, y, series }, colours, axis, groups) {
  const heat = kind === 'heatmap';
  const line = { gridcolor: colours.grid, linecolor: colours.grid, zerolinecolor: colours.muted, automargin: true, showgrid: !heat };
  return {
    height: heat ? Math.max(260, 120 + 30 * groups) : 400,
    margin: { l: 50, r: 12, t: 12, b: 40 },
    paper_bgcolor: 'rgba(0,0,0,0)',
    plot_bgcolor: 'rgba(0,0,0,0)',
    font: { color: colours.text, family: colours.font, size: 12 },
    modebar: { bgcolor: 'rgba(0,0,0,0)', color: colours.muted, activecolor: colours.text },
    hoverlabel: { bgcolor: colours.panel, bordercolor: colours.grid, font: { color: colours.text } },
    showlegend: !heat && series !== '',
    legend: { orientation: 'h', x: 0, y: 1.02, yanchor: 'bottom' },
    barmode: 'group',
    xaxis: { ...line, type: axis, title: { text: escaped(x) } },
    yaxis: heat ? { ...line, type: 'category' } : { ...line, title: { text: escaped(y) } },
  };
}

// The figure of a result, as plotly draws it.

import { partsOf } from './choices.js';
import { filled, millisOf, stepOf, withGaps } from './gaps.js';
import { cellText, isNumber, isTime } from './result.js';
import { formatOf, timeFormatOf, titleOf } from './units.js';

const MOST_ROWS = 50_000;
const MOST_SERIES = 40;
const MOST_STEPS = 5_000;
const MARKED_POINTS = 62; // up to here each point of a line is marked
const POINT = 6;
const DAY_MS = 86_400_000;
const MOST_DAYS = 10; // up to here an axis of days has a tick for each
const DASHES = ['solid', 'dash', 'dot', 'dashdot', 'longdash']; // tell series of one colour apart
const REPEATED = 'Where a series has several rows of one x there are points without a line; another series may tell them apart.';
const EXTRA = ['market', 'close_time', 'spot_close_time']; // also shown for a point, unless its series is named by it

// What to draw: { data, layout, note }. Colours come from the page's style.
export function figure(result, chart, colours) {
  const rows = result.rows.slice(0, MOST_ROWS);
  const read = reader(result.columns, chart);
  const groups = new Map();
  for (const row of rows) {
    const name = read.series(row);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push([read.x(row), read.y(row), read.told(row)]);
  }
  const shown = [...groups].slice(0, MOST_SERIES);
  const lines = chart.kind === 'line' && read.axis !== 'category' ? shown.map(([name, points]) => [name, inOrder(points)]) : shown;
  const formats = formatsOf(chart, shown, read.axis);
  const step = read.axis === 'date' ? stepOf(shown.map(([, points]) => distinctTimes(points)), chart.x) : null;
  const drawn = { chart, formats, step, told: read.tells, name: chart.y };
  const data = chart.kind === 'heatmap' ? [heatMap(shown, drawn, titleOf(result, chart.y))] : lines.map((group, n) => trace(group, drawn, colours.series, n));
  const notes = [];
  if (result.rows.length > MOST_ROWS) notes.push(`The first ${MOST_ROWS.toLocaleString('en')} of ${result.rows.length.toLocaleString('en')} rows are drawn.`);
  if (groups.size > MOST_SERIES) notes.push(`The first ${MOST_SERIES} of ${groups.size.toLocaleString('en')} series are drawn.`);
  if (chart.kind === 'line' && lines.some(([, points]) => repeats(points))) notes.push(REPEATED);
  const closes = read.closes(rows);
  if (closes.length) notes.push(closes.length > 1 ? `Closes from ${closes[0]} to ${closes.at(-1)} UTC.` : `Closes of ${closes[0]} UTC.`);
  const frame = { axis: read.axis, groups: shown.length, formats, ticks: ticksOf(shown, step) };
  return { data, layout: layout(result, chart, colours, frame), note: notes.join(' ') };
}

function reader(columns, { x, y, series }) {
  const at = (name) => columns.findIndex((column) => column.name === name);
  const [atX, atY] = [at(x), at(y)];
  const parts = partsOf(series).map(at);
  const told = EXTRA.filter((name) => at(name) >= 0 && name !== x && !partsOf(series).includes(name));
  const type = columns[atX].type;
  const numeric = isNumber(type);
  return {
    x: (row) => (row[atX] === null ? null : numeric ? Number(row[atX]) : escaped(cellText(row[atX]))),
    y: (row) => (row[atY] === null ? null : Number(row[atY])),
    series: (row) => parts.map((part) => escaped(cellText(row[part]))).join(' / '),
    told: (row) => told.map((name) => `${name}: ${escaped(cellText(row[at(name)]))}`).join('<br>'),
    tells: told.length > 0,
    closes: (rows) => (told.includes('close_time') ? [...new Set(rows.map((row) => row[at('close_time')]).filter((time) => typeof time === 'string'))].sort() : []),
    axis: numeric ? 'linear' : isTime(type) ? 'date' : 'category',
  };
}

// plotly takes a few tags in its texts; what comes from the server is text.
function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function inOrder(points) {
  return points.filter(([x]) => x !== null).sort(([a], [b]) => (a < b ? -1 : Number(a > b)));
}

function distinctTimes(points) {
  return [...new Set(points.map(([x]) => x))].map((x) => millisOf(x ?? '')).filter((time) => !Number.isNaN(time)).sort((a, b) => a - b);
}

function repeats(points) {
  return points.some(([x], n) => n > 0 && x === points[n - 1][0]);
}

function formatsOf({ x, y }, groups, axis) {
  const all = (n) => groups.flatMap(([, points]) => points.map((point) => point[n])).filter((value) => value !== null);
  const byAxis = { linear: () => `:${formatOf(x, all(0))}`, date: () => `|${timeFormatOf(all(0))}`, category: () => '' };
  return { x: byAxis[axis](), y: formatOf(y, all(1)) };
}

function trace([name, points], { chart, formats, step, told, name: own }, colours, n) {
  const { kind } = chart;
  const all = kind === 'line' && !repeats(points) ? withGaps(points, step) : points;
  const colour = colours[n % colours.length];
  const common = {
    name: name || escaped(own),
    x: all.map(([value]) => value),
    y: all.map(([, value]) => value),
    ...(told ? { hovertext: all.map(([, , text]) => text ?? '') } : {}),
    hovertemplate: `%{fullData.name}<br>%{x${formats.x}}: %{y:${formats.y}}${told ? '<br>%{hovertext}' : ''}<extra></extra>`,
    marker: { color: colour },
  };
  if (kind === 'bar') return { ...common, type: 'bar' };
  if (kind === 'scatter' || (kind === 'line' && repeats(points))) return { ...common, type: 'scatter', mode: 'markers', marker: { color: colour, size: POINT } };
  const sizes = markerSizes(all);
  const dash = DASHES[Math.floor(n / colours.length) % DASHES.length];
  return {
    ...common,
    type: 'scatter',
    mode: sizes.some((size) => size > 0) ? 'lines+markers' : 'lines',
    connectgaps: false,
    line: { color: colour, width: 2, dash },
    marker: { color: colour, size: sizes, opacity: 1, line: { width: 0 } }, // as if they had one size
  };
}

// A point between two gaps is no part of a line, so it is marked whatever their number.
function markerSizes(points) {
  if (points.length <= MARKED_POINTS) return points.map(() => POINT);
  const missing = (n) => points[n] === undefined || points[n][1] === null;
  return points.map((_, n) => (missing(n - 1) && missing(n + 1) ? POINT : 0));
}

function heatMap(groups, { chart, formats, step }, title) {
  const known = [...new Set(groups.flatMap(([, points]) => points.map(([x]) => x)))].filter((x) => x !== null).sort((a, b) => (a < b ? -1 : Number(a > b)));
  const xs = filled(known, step, MOST_STEPS);
  const cells = groups.map(([, points]) => {
    const values = new Map(points);
    return xs.map((x) => values.get(x) ?? null);
  });
  const below = cells.flat().some((value) => value !== null && value < 0);
  return {
    type: 'heatmap',
    x: xs,
    y: groups.map(([name]) => name || escaped(chart.y)),
    z: cells,
    hoverongaps: false,
    ...(below ? { colorscale: 'RdBu', zmid: 0 } : { colorscale: 'Viridis' }),
    hovertemplate: `%{y}<br>%{x${formats.x}}: %{z:${formats.y}}<extra></extra>`,
    colorbar: { thickness: 12, tickformat: formats.y, title: { text: escaped(title), side: 'right' } },
  };
}

// Days as ticks where there are few of them; plotly would put hours between.
function ticksOf(groups, step) {
  const days = new Set(groups.flatMap(([, points]) => points.map(([x]) => x)));
  return step !== null && step % DAY_MS === 0 && days.size <= MOST_DAYS ? { dtick: step, tick0: [...days][0] } : {};
}

function layout(result, { kind, x, y, series }, colours, { axis, groups, formats, ticks }) {
  const heat = kind === 'heatmap';
  const line = { gridcolor: colours.grid, linecolor: colours.grid, zerolinecolor: colours.muted, automargin: true, showgrid: !heat };
  return {
    height: heat ? Math.max(260, 120 + 30 * groups) : 400,
    margin: { l: 50, r: 12, t: 12, b: 40 },
    paper_bgcolor: 'rgba(0,0,0,0)',
    plot_bgcolor: 'rgba(0,0,0,0)',
    font: { color: colours.text, family: colours.font, size: 12 },
    modebar: { bgcolor: 'rgba(0,0,0,0)', color: colours.muted, activecolor: colours.text },
    hoverlabel: { bgcolor: colours.panel, bordercolor: colours.grid, font: { color: colours.text }, align: 'left', namelength: -1 },
    showlegend: !heat && series !== '',
    legend: { orientation: 'h', x: 0, y: 1.02, yanchor: 'bottom' },
    barmode: 'group',
    xaxis: { ...line, type: axis, title: { text: escaped(titleOf(result, x)) }, ...(axis === 'linear' ? { tickformat: formats.x.slice(1) } : ticks) },
    yaxis: heat ? { ...line, type: 'category' } : { ...line, tickformat: formats.y, title: { text: escaped(titleOf(result, y)), standoff: 12 } },
  };
}

// The chart of a result and the choices above it. plotly is fetched, from this server, when the first chart is drawn.

import { choices, fitted } from './choices.js';
import { byId, fillSelect, make } from './dom.js';
import { figure } from './figure.js';

const CONFIG = {
  responsive: true,
  displaylogo: false,
  displayModeBar: matchMedia('(hover: hover)').matches ? 'hover' : false,
  modeBarButtons: [['toImage', 'zoom2d', 'pan2d', 'zoomIn2d', 'zoomOut2d', 'resetScale2d']],
};
const SERIES = ['--series-1', '--series-2', '--series-3', '--series-4', '--series-5', '--series-6', '--series-7', '--series-8'];

let shown = { result: null, chart: {} };
let library = null;

// Draws a result as is wanted, and shows no chart where there is nothing to draw.
export function showChart(result, wanted) {
  const drawable = result !== null && !result.blob && result.rows.length > 0;
  byId('chart').hidden = !drawable;
  shown = { result: drawable ? result : null, chart: drawable ? fitted(result, wanted) : {} };
  if (!drawable) return;
  const possible = choices(result);
  byId('chart-kind').disabled = possible.y.length === 0;
  byId('chart-kind').value = shown.chart.kind;
  for (const role of ['x', 'y', 'series']) {
    fillSelect(byId(`chart-${role}`), possible[role].map((name) => [name, name || 'all in one']), shown.chart[role]);
    byId(`chart-${role}`).closest('label').hidden = shown.chart.kind === 'none';
  }
  draw();
}

// Reports every choice; redraws when the colours of the page change.
export function listenToChart(changed) {
  for (const role of ['kind', 'x', 'y', 'series']) {
    byId(`chart-${role}`).onchange = () => {
      const chart = { ...shown.chart, [role]: byId(`chart-${role}`).value };
      showChart(shown.result, chart);
      changed(chart);
    };
  }
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
}

async function draw() {
  const { result, chart } = shown;
  const heat = chart.kind === 'heatmap';
  byId('chart-y-label').textContent = heat ? 'Colour' : 'Y';
  byId('chart-series-label').textContent = heat ? 'Rows' : 'Series';
  byId('chart-note').textContent = '';
  byId('plot').hidden = chart.kind === 'none';
  byId('plot').style.minHeight = heat ? '260px' : '400px'; // so that what lies below does not move when the chart comes
  if (result === null || chart.kind === 'none') return;
  try {
    const plotly = await (library ??= load());
    if (shown.chart !== chart) return;
    const { data, layout, note } = figure(result, chart, colours());
    await plotly.react(byId('plot'), data, layout, CONFIG);
    byId('chart-note').textContent = note;
  } catch (error) {
    library = null;
    byId('plot').hidden = true;
    byId('chart-note').textContent = error.message;
  }
}

function load() {
  return new Promise((resolve, reject) => {
    const script = make('script', { src: 'static/plotly.min.js' });
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => reject(new Error("There is no chart because the server has no plotly; it comes with: pip install 'pointline[report]'"));
    document.head.append(script);
  });
}

function colours() {
  const style = getComputedStyle(document.body);
  const colour = (name) => style.getPropertyValue(name).trim();
  return { text: colour('--text'), muted: colour('--muted'), grid: colour('--line'), panel: colour('--panel'), font: style.fontFamily, series: SERIES.map(colour) };
}

// The outcome of a query in words: the line of the status, the server's notes, the error.

import { button, byId, make } from './dom.js';
import { selectText, statementText } from './editor.js';

const NOTHING = 'The result of Run is shown here.';

export function say(text) {
  byId('status').textContent = text || NOTHING;
}

export function showNotes(notes) {
  byId('notes').hidden = notes.length === 0;
  byId('notes').replaceChildren(...notes.map((note) => make('li', {}, note)));
}

export function showError(error) {
  const box = byId('error');
  box.hidden = error === null;
  if (error === null) return;
  const title = [error.code ? `Code ${error.code}` : '', error.name === 'Error' ? '' : error.name].filter(Boolean).join(' · ') || 'No answer';
  const place = /failed at position (\d+)/.exec(error.message);
  box.replaceChildren(
    make('h2', {}, title),
    make('pre', {}, error.message),
    ...(place ? [button('Show the place', () => selectPlace(Number(place[1])))] : []),
  );
}

// The server counts bytes from one.
function selectPlace(position) {
  const bytes = new TextEncoder().encode(statementText());
  const start = new TextDecoder().decode(bytes.slice(0, position - 1)).length;
  const word = /^(?:\w+|[^])/.exec(statementText().slice(start))?.[0] ?? '';
  selectText(start, start + word.length);
}

// Shows the time that a query takes until it is stopped: { seconds, stop }.
export function startClock() {
  const began = performance.now();
  const seconds = () => ((performance.now() - began) / 1000).toFixed(1);
  const timer = setInterval(() => showClock(`${seconds()} s`), 100);
  showClock('0.0 s');
  return { seconds, stop: () => clearInterval(timer) };
}

export function showClock(text) {
  byId('clock').textContent = text;
  byId('cancel').disabled = text === '';
}

export function summaryText({ rows, columns, format, summary }) {
  const number = (value) => Number(value ?? 0).toLocaleString('en');
  const what = rows ? `${number(rows.length)} rows, ${columns.length} columns` : `${number(summary.result_rows)} rows as ${format}`;
  const read = `read ${number(summary.read_rows)} rows, ${bytesText(Number(summary.read_bytes ?? 0))}`;
  const hint = rows?.length === 0 ? ' Nothing fits; the example Coverage shows which markets and days the lake holds.' : '';
  return `${what} · ${(Number(summary.elapsed_ns ?? 0) / 1e6).toFixed(0)} ms · ${read}.${hint}`;
}

function bytesText(bytes) {
  const unit = Math.min(3, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** unit).toPrecision(3).replace(/\.?0+$/, '')} ${['B', 'kB', 'MB', 'GB'][unit]}`;
}

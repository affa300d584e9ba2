// The page: views, each with its statement, chart and result, and one query at a time.

import { showCatalogue } from './catalogue.js';
import { listenToChart, showChart } from './chart.js';
import { button, byId, fillSelect, make } from './dom.js';
import { EXAMPLES } from './examples.js';
import { fromHash, toHash } from './link.js';
import { listenToForm, loadMarkets, showForm } from './markets.js';
import { ask, signIn, signOut } from './server.js';
import { copy, showResult } from './table.js';

const views = {
  query: { sql: EXAMPLES[0].sql, chart: EXAMPLES[0].chart, outcome: {} },
  spreads: { sql: '', chart: {}, outcome: {} },
  term: { sql: '', chart: {}, outcome: {} },
};
const SMALL = matchMedia('(max-width: 40rem)'); // there a result lies below the screen
const statement = byId('statement');
let current = 'query';
let running = null;

function say(text) {
  byId('status').textContent = text;
}

function showView(name) {
  views[current].sql = statement.value;
  openView(name);
}

function openView(name) {
  current = name;
  for (const tab of byId('views').children) {
    if (tab.dataset.view === current) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
  byId('example-row').hidden = current !== 'query';
  showForm(current);
  statement.value = views[current].sql;
  markExample();
  showOutcome();
}

// The list shows the example that stands in the query box, if one does.
function markExample() {
  byId('examples').value = String(EXAMPLES.findIndex(({ sql }) => sql === statement.value));
}

function showOutcome() {
  const { result = null, error = null, said = '' } = views[current].outcome;
  say(said);
  showError(error);
  showResult(result, say);
  showChart(result, views[current].chart);
}

function showError(error) {
  const box = byId('error');
  box.hidden = error === null;
  if (error === null) return;
  const title = [error.code ? `Code ${error.code}` : '', error.name].filter(Boolean).join(' · ') || 'No answer';
  const place = /failed at position (\d+)/.exec(error.message);
  box.replaceChildren(
    make('h2', {}, title),
    make('pre', {}, error.message),
    ...(place ? [button('Show the place', () => selectPlace(Number(place[1])))] : []),
  );
}

// The server counts bytes from one.
function selectPlace(position) {
  const bytes = new TextEncoder().encode(statement.value);
  const start = new TextDecoder().decode(bytes.slice(0, position - 1)).length;
  const word = /^(?:\w+|[^])/.exec(statement.value.slice(start))?.[0] ?? '';
  statement.focus();
  statement.setSelectionRange(start, start + word.length);
}

async function run() {
  const name = current;
  const view = views[name];
  view.sql = statement.value;
  if (!view.sql.trim()) return statement.focus();
  running?.abort();
  const own = new AbortController();
  running = own;
  const pending = { said: 'Running …' };
  view.outcome = pending;
  keepInAddress();
  showOutcome();
  const clock = startClock();
  const outcome = await outcomeOf(view.sql, own.signal, clock.seconds);
  clock.stop();
  if (running === own) {
    running = null;
    showClock('');
  }
  if (view.outcome !== pending) return; // something else has taken its place
  view.outcome = outcome;
  if (current !== name) return;
  showOutcome();
  if (SMALL.matches) document.querySelector('#error:not([hidden]), #chart:not([hidden]), #result:not([hidden])')?.scrollIntoView();
}

async function outcomeOf(sql, signal, seconds) {
  try {
    const result = await ask(sql, { signal });
    return { result, said: summaryText(result) };
  } catch (error) {
    if (error.name === 'AbortError') return { said: `Cancelled after ${seconds()} s; the server stops the query.` };
    if (error.asksForLogin) showLogin();
    return { error };
  }
}

function startClock() {
  const began = performance.now();
  const seconds = () => ((performance.now() - began) / 1000).toFixed(1);
  const timer = setInterval(() => showClock(`${seconds()} s`), 100);
  showClock('0.0 s');
  return { seconds, stop: () => clearInterval(timer) };
}

function showClock(text) {
  byId('clock').textContent = text;
  byId('cancel').disabled = text === '';
}

function summaryText({ rows, columns, format, summary }) {
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

function keepInAddress() {
  const hash = toHash(current, statement.value, views[current].chart);
  if (hash !== location.hash) history.pushState(null, '', hash);
}

function openAddress() {
  const shared = fromHash(location.hash);
  if (shared === null) return;
  const name = Object.hasOwn(views, shared.view) ? shared.view : 'query';
  if (shared.sql !== views[name].sql) views[name].outcome = {};
  Object.assign(views[name], { sql: shared.sql, chart: shared.chart });
  openView(name);
}

function insert(text) {
  statement.setRangeText(text, statement.selectionStart, statement.selectionEnd, 'end');
  markExample();
  statement.focus();
}

function showLogin(text = '') {
  byId('login').hidden = false;
  byId('login-error').textContent = text;
  byId('login-user').focus();
}

// Reads what the page shows of the lake; true where the server answered.
async function readLake() {
  try {
    await Promise.all([showCatalogue(insert), loadMarkets()]);
    byId('login').hidden = true;
    return true;
  } catch (error) {
    byId('catalogue-tree').replaceChildren(make('p', { className: 'note' }, error.asksForLogin ? 'Shown after signing in.' : error.message));
    if (error.asksForLogin) showLogin(error.code === 194 ? '' : error.message);
    return false;
  }
}

async function logIn(event) {
  event.preventDefault();
  const user = byId('login-user').value;
  try {
    signIn(user, byId('login-secret').value);
  } catch (error) {
    return showLogin(error.message);
  }
  byId('login-secret').value = '';
  if (await readLake()) {
    byId('user').hidden = false;
    byId('user-name').textContent = user || 'signed in';
    views[current].outcome = {};
    showOutcome();
    statement.focus();
  } else {
    signOut();
  }
}

function logOut() {
  signOut();
  byId('user').hidden = true;
  for (const view of Object.values(views)) view.outcome = {};
  showOutcome();
  readLake();
}

function listen() {
  byId('views').onclick = ({ target }) => target.dataset.view && showView(target.dataset.view);
  byId('run').onclick = run;
  byId('cancel').onclick = () => running?.abort();
  byId('copy-link').onclick = () => {
    keepInAddress();
    copy(location.href, 'The link is on the clipboard.', say);
  };
  byId('login').onsubmit = logIn;
  byId('sign-out').onclick = logOut;
  document.onkeydown = (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) run();
    else if (event.key === 'Escape') running?.abort();
  };
  statement.oninput = markExample;
  byId('examples').onchange = ({ target }) => {
    if (target.value === '-1') return;
    const { sql, chart } = EXAMPLES[Number(target.value)];
    Object.assign(views.query, { sql, chart, outcome: {} });
    openView('query');
  };
  listenToForm(({ sql, chart }) => {
    views[current].chart = chart;
    statement.value = sql;
    run();
  });
  listenToChart((chart) => {
    views[current].chart = chart;
    keepInAddress();
  });
  addEventListener('popstate', openAddress);
}

fillSelect(byId('examples'), [['-1', 'choose one …'], ...EXAMPLES.map(({ name }, n) => [String(n), name])]);
byId('catalogue').open = matchMedia('(min-width: 64rem)').matches;
listen();
openView(current);
openAddress();
readLake();

// The page: views, each with its statement, chart and result, and one query at a time.

import { showCatalogue } from './catalogue.js';
import { listenToChart, showChart } from './chart.js';
import { byId, fillSelect, make } from './dom.js';
import { insertText, listenToEditor, makeSmall, setStatement, statementText } from './editor.js';
import { examplesOf } from './examples.js';
import { remember, showHistory } from './history.js';
import { heldLake, loadLake } from './lake.js';
import { fromHash, toHash } from './link.js';
import { fillForm, listenToForm, showForm } from './markets.js';
import { say, showClock, showError, showNotes, startClock, summaryText } from './outcome.js';
import { parametersOf, sentParameters, showParameters } from './parameters.js';
import { ask, signIn, signOut } from './server.js';
import { copy, showResult } from './table.js';

const views = {
  query: { sql: '', chart: {}, parameters: {}, outcome: {} },
  spreads: { sql: '', chart: {}, parameters: {}, outcome: {} },
  term: { sql: '', chart: {}, parameters: {}, outcome: {} },
};
const SMALL = matchMedia('(max-width: 40rem)'); // there a result lies below the screen
let examples = [];
let current = 'query';
let running = null;

function showView(name) {
  views[current].sql = statementText();
  openView(name);
}

function openView(name) {
  current = name;
  document.querySelector('main').dataset.view = name;
  for (const tab of byId('views').children) {
    if (tab.dataset.view === current) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
  byId('example-row').hidden = current !== 'query';
  showForm(current);
  setStatement(views[current].sql);
  followStatement();
  showOutcome();
}

// What is shown around the query box and depends on its text: the example that it is, and the fields of its parameters.
function followStatement() {
  byId('examples').value = String(examples.findIndex(({ sql }) => sql === statementText()));
  showParameters(statementText(), views[current].parameters);
}

function showOutcome() {
  const { result = null, error = null, said = '', asked } = views[current].outcome;
  say(said);
  showNotes(result?.notes ?? []);
  showError(error);
  showResult(result, say, () => ask(asked.sql, { parameters: asked.parameters, format: 'Parquet' }));
  showChart(result, views[current].chart);
}

async function run() {
  const name = current;
  const view = views[name];
  view.sql = statementText();
  if (!view.sql.trim()) return byId('statement').focus();
  running?.abort();
  const own = new AbortController();
  running = own;
  const pending = { said: 'Running …' };
  view.outcome = pending;
  keepInAddress();
  remember(view.sql, Object.fromEntries(parameterValues(view)));
  showOutcome();
  const clock = startClock();
  const outcome = await outcomeOf(view, own.signal, clock.seconds);
  clock.stop();
  if (running === own) {
    running = null;
    showClock('');
  }
  if (view.outcome !== pending) return; // another outcome has replaced it
  view.outcome = outcome;
  if (current !== name) return;
  if (SMALL.matches) makeSmall();
  showOutcome();
  if (SMALL.matches) byId('outcome').scrollIntoView();
}

async function outcomeOf({ sql, parameters }, signal, seconds) {
  try {
    const asked = { sql, parameters: sentParameters(sql, parameters) };
    const result = await ask(sql, { signal, parameters: asked.parameters });
    return { result, asked, said: summaryText(result) };
  } catch (error) {
    if (error.name === 'AbortError') return { said: `Cancelled after ${seconds()} s; the server stops the query.` };
    if (error.asksForLogin) showLogin();
    return { error, said: error.name === 'Not sent' ? 'The query was not sent.' : 'The query failed.' };
  }
}

function parameterValues({ sql, parameters }) {
  return parametersOf(sql).map(({ name }) => [name, Object.hasOwn(parameters, name) ? parameters[name] : '']);
}

function keepInAddress() {
  const view = { ...views[current], sql: statementText() };
  const hash = toHash(current, view.sql, view.chart, parameterValues(view));
  if (hash !== location.hash) history.pushState(null, '', hash);
}

function openAddress() {
  const shared = fromHash(location.hash);
  if (shared === null) return;
  const name = Object.hasOwn(views, shared.view) ? shared.view : 'query';
  if (shared.sql !== views[name].sql) views[name].outcome = {};
  Object.assign(views[name], { sql: shared.sql, chart: shared.chart, parameters: shared.parameters });
  openView(name);
}

function showLogin(text = '') {
  byId('login').hidden = false;
  byId('login-error').textContent = text;
  byId('login-user').focus();
}

// Reads what the page shows of the lake; true where the server answered.
async function readLake() {
  try {
    await Promise.all([showCatalogue(insertText), loadLake()]);
    fillForm();
    showExamples();
    byId('login').hidden = true;
    return true;
  } catch (error) {
    byId('catalogue-tree').replaceChildren(make('p', { className: 'note' }, error.asksForLogin ? 'Shown after signing in.' : error.message));
    if (error.asksForLogin) showLogin(error.code === 194 ? '' : error.message);
    return false;
  }
}

// Examples for which the lake has nothing are listed with the reason. The first of the others is shown at the start.
function showExamples() {
  examples = examplesOf(heldLake());
  const options = examples.map(({ name, reason }, n) => [String(n), reason ? `${name} – not here: ${reason}` : name, Boolean(reason)]);
  fillSelect(byId('examples'), [['-1', 'choose one …'], ...options], '-1');
  const untouched = views.query.sql === '' && (current !== 'query' || statementText() === '');
  const first = examples.find(({ reason }) => !reason);
  if (untouched && first) {
    startExample(first);
    if (current === 'query') openView('query');
  } else followStatement();
}

function startExample({ sql, chart, parameters }) {
  Object.assign(views.query, { sql, chart, parameters: { ...parameters }, outcome: {} });
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
    showHistory(user);
    views[current].outcome = {};
    showOutcome();
    byId('statement').focus();
  } else {
    signOut();
  }
}

function logOut() {
  signOut();
  byId('user').hidden = true;
  for (const view of Object.values(views)) view.outcome = {};
  showHistory('');
  showOutcome();
  readLake();
}

function openFromHistory({ sql, parameters }) {
  Object.assign(views.query, { sql, chart: {}, parameters: { ...parameters }, outcome: {} });
  openView('query');
  byId('statement').focus();
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
    if (event.isComposing) return; // the keys belong to an input method
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) run();
    else if (event.key === 'Escape') running?.abort();
  };
  listenToEditor(followStatement);
  byId('examples').onchange = ({ target }) => {
    if (target.value === '-1') return;
    startExample(examples[Number(target.value)]);
    openView('query');
  };
  listenToForm(({ sql, chart }) => {
    Object.assign(views[current], { chart, parameters: {} });
    setStatement(sql);
    makeSmall(); // the form is used for its result, not for its statement
    followStatement();
    run();
  });
  listenToChart((chart) => {
    views[current].chart = chart;
    keepInAddress();
  });
  addEventListener('popstate', openAddress);
}

fillSelect(byId('examples'), [['-1', 'choose one …']]);
byId('catalogue').open = matchMedia('(min-width: 64rem)').matches;
showHistory('', openFromHistory);
listen();
openView(current);
openAddress();
readLake();

// The form of the views Spreads and Term structure: what the lake has to choose from, and the statement that the choice makes.

import { byId, fillSelect, make } from './dom.js';
import {
  DAY_MINUTES, DAYS_SHOWN, contractsOf, daysOf, finestDuration, greatest, heldLake, keyOf, pairedBases, referencesOf, shifted, spotsOf, windowOf,
} from './lake.js';
import { basisStatement, curveStatement, newestCurveStatement, spreadStatement, timeColumn } from './statements.js';

const CURVES = new Set(['newest', 'instant']);
let view = 'spreads';

// Offers what the lake has that was read.
export function fillForm() {
  const { markets } = heldLake();
  const others = [...new Set(markets.map((one) => one.base))].filter((base) => spotsOf(base).length && ofView(base, 'spreads').length);
  const assets = [...new Set([...pairedBases(), ...others])]; // those come first of which something can be shown
  fillSelect(byId('base'), assets.map((base) => [base, base]));
  byId('show').disabled = assets.length === 0;
  byId('quotes').textContent = assets.length ? '' : 'The lake has no asset with both a spot market and a contract.';
  if (assets.length) chooseBase();
}

export function showForm(name) {
  const form = byId('markets');
  form.hidden = name === 'query';
  if (form.hidden) return;
  const changed = view !== name;
  view = name;
  if (changed && byId('base').value) {
    chooseDates();
    listContracts();
  }
  showShape();
}

export function listenToForm(run) {
  byId('base').onchange = chooseBase;
  byId('reference').onchange = () => { chooseDates(); listContracts(); };
  byId('shape').onchange = () => { chooseDuration(); listContracts(); showShape(); };
  byId('contracts').onchange = tellQuotes;
  byId('markets').onsubmit = (event) => {
    event.preventDefault();
    const made = statement();
    if (made) run(made);
  };
}

function reference() {
  return spotsOf(byId('base').value).find((one) => keyOf(one) === byId('reference').value);
}

// Contracts of an asset that a view is about.
function ofView(base, name = view) {
  return heldLake().markets.filter((one) => one.base === base && (name === 'term' ? one.kind === 'EXPIRING' : one.kind !== 'SPOT'));
}

function chooseBase() {
  fillSelect(byId('reference'), referencesOf(byId('base').value).map((one) => [keyOf(one), `${one.exchange} ${one.market}`]));
  chooseDates();
  listContracts();
}

// The last month that the reference and contracts have in common, or else that the reference has.
function shownWindow() {
  const spot = reference();
  const meeting = contractsOf(spot).filter((one) => view !== 'term' || one.kind === 'EXPIRING');
  if (meeting.length) return windowOf(spot, meeting);
  const { first, last } = daysOf(spot);
  return { from: greatest([first, shifted(last, 1 - DAYS_SHOWN)]), to: last, duration: DAY_MINUTES, contracts: [] };
}

function chooseDates() {
  const { from, to } = shownWindow();
  byId('from').value = from;
  byId('to').value = to;
  byId('at').value = `${shifted(to, 1)}T00:00`; // when the last day's candle is known
  chooseDuration();
}

function isNewest() {
  return view === 'term' && byId('shape').value === 'newest';
}

// The newest closes are those of the shortest candles.
function chooseDuration() {
  const { duration, contracts } = shownWindow();
  byId('duration').value = String(isNewest() && contracts.length ? finestDuration([reference(), ...contracts]) : duration);
}

function listContracts() {
  const { contracts, to } = shownWindow();
  const wanted = ofView(byId('base').value);
  const shown = new Set(contracts.filter((one) => !isNewest() || one.expiration > to).map(keyOf)); // what was delivered is not in that curve
  byId('contracts').replaceChildren(...wanted.map((one) => {
    const name = make('span', {}, `${one.exchange} `, make('b', {}, one.market));
    return make('label', { className: 'inline' }, make('input', { type: 'checkbox', value: keyOf(one), checked: shown.has(keyOf(one)) }), name);
  }));
  byId('show').disabled = wanted.length === 0;
  if (wanted.length === 0) {
    const what = view === 'term' ? 'dated future' : 'contract';
    byId('contracts').replaceChildren(make('p', { className: 'note' }, `The lake has no ${what} of this asset.`));
  }
  tellQuotes();
}

function chosenContracts() {
  const chosen = new Set([...byId('contracts').querySelectorAll('input:checked')].map((input) => input.value));
  return ofView(byId('base').value).filter((one) => chosen.has(keyOf(one)));
}

function tellQuotes() {
  const spot = reference();
  const others = [...new Set(chosenContracts().map((one) => one.quote))].filter((quote) => quote !== spot.quote);
  byId('quotes').textContent = others.length
    ? `Contracts quoted in ${others.join(' and ')} differ from a reference in ${spot.quote} by the basis and by the price of ${spot.quote}: their spread holds both.`
    : '';
}

// A curve is asked for at an instant, everything else from day to day.
function showShape() {
  const shape = view === 'term' ? byId('shape').value : '';
  byId('shape').closest('label').hidden = view !== 'term';
  for (const [id, used] of [['from', !CURVES.has(shape)], ['to', !CURVES.has(shape)], ['at', shape === 'instant']]) {
    byId(id).disabled = !used;
    byId(id).closest('label').hidden = !used;
  }
}

// The statement and how to draw it, or null where no contract is chosen.
function statement() {
  const contracts = chosenContracts();
  if (contracts.length === 0) {
    byId('quotes').textContent = 'Choose at least one contract.';
    return null;
  }
  const duration = Number(byId('duration').value);
  const options = { duration, reference: reference(), contracts, from: byId('from').value, to: byId('to').value, at: byId('at').value.replace('T', ' ') };
  const x = timeColumn(duration);
  const series = 'exchange / market';
  if (view === 'spreads') return { sql: spreadStatement(options), chart: { kind: 'line', x, y: 'spread_pct', series } };
  const y = 'annualised_simple_pct';
  const shape = byId('shape').value;
  if (CURVES.has(shape)) {
    const sql = isNewest() ? newestCurveStatement(options) : curveStatement(options);
    return { sql, chart: { kind: 'line', x: 'days_to_expiry', y, series: 'exchange / quote' } };
  }
  return { sql: basisStatement(options), chart: { kind: shape === 'heatmap' ? 'heatmap' : 'line', x, y, series } };
}

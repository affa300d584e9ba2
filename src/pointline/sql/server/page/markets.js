// The form of the views Spreads and Term structure: what the lake has to choose from, and the statement that the choice makes.

import { byId, fillSelect, make } from './dom.js';
import { ask } from './server.js';
import { basisStatement, curveStatement, spreadStatement, timeColumn } from './statements.js';

const DAYS_SHOWN = 30;
const DAY_MS = 86_400_000;
const MARKETS = `SELECT m.kind, m.exchange, m.market, m.base, m.quote, c.first_date, c.last_date
FROM (
    SELECT 'SPOT' AS kind, exchange, market, base_asset AS base, quote_asset AS quote FROM api.market_spot
    UNION ALL
    SELECT expiration_type AS kind, exchange, market, base_asset AS base, quote_asset AS quote FROM api.market_future
) AS m
JOIN (
    SELECT exchange, market, min(first_date) AS first_date, max(last_date) AS last_date
    FROM api.coverage
    WHERE kind = 'trades' OR startsWith(kind, 'candles_')
    GROUP BY exchange, market
) AS c ON c.exchange = m.exchange AND c.market = m.market
ORDER BY base, exchange, kind DESC, market`;

let known = [];
let view = 'spreads';

export async function loadMarkets() {
  const { rows } = await ask(MARKETS);
  known = rows.map(([kind, exchange, market, base, quote, first, last]) => ({ kind, exchange, market, base, quote, first, last }));
  const assets = [...new Set(known.map((one) => one.base))].filter((base) => spots(base).length && known.some((one) => one.base === base && one.kind !== 'SPOT'));
  fillSelect(byId('base'), assets.map((base) => [base, base]), byId('base').value || 'BTC');
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
  if (changed && known.length) listContracts();
  showShape();
}

export function listenToForm(run) {
  byId('base').onchange = chooseBase;
  byId('reference').onchange = () => { chooseDates(); tellQuotes(); };
  byId('shape').onchange = showShape;
  byId('contracts').onchange = tellQuotes;
  byId('markets').onsubmit = (event) => {
    event.preventDefault();
    const made = statement();
    if (made) run(made);
  };
}

function spots(base) {
  return known.filter((one) => one.base === base && one.kind === 'SPOT');
}

function key({ exchange, market }) {
  return `${exchange}:${market}`;
}

function reference() {
  return known.find((one) => one.kind === 'SPOT' && key(one) === byId('reference').value);
}

function chooseBase() {
  fillSelect(byId('reference'), spots(byId('base').value).map((one) => [key(one), `${one.exchange} ${one.market}`]));
  chooseDates();
  listContracts();
}

// The last month that the reference has.
function chooseDates() {
  const { first, last } = reference();
  const month = new Date(Date.parse(last) - DAYS_SHOWN * DAY_MS).toISOString().slice(0, 10);
  byId('from').value = month < first ? first : month;
  byId('to').value = last;
  byId('at').value = `${last}T00:00`;
}

function listContracts() {
  const base = byId('base').value;
  const wanted = known.filter((one) => one.base === base && (view === 'term' ? one.kind === 'EXPIRING' : one.kind !== 'SPOT'));
  byId('contracts').replaceChildren(...wanted.map((one) => {
    const checked = one.last >= byId('from').value;
    const name = make('span', {}, `${one.exchange} `, make('b', {}, one.market));
    return make('label', { className: 'inline' }, make('input', { type: 'checkbox', value: key(one), checked }), name);
  }));
  if (wanted.length === 0) byId('contracts').replaceChildren(make('p', { className: 'note' }, 'The lake has none of this asset.'));
  tellQuotes();
}

function chosenContracts() {
  const chosen = new Set([...byId('contracts').querySelectorAll('input:checked')].map((input) => input.value));
  return known.filter((one) => one.kind !== 'SPOT' && chosen.has(key(one)));
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
  const isCurve = view === 'term' && byId('shape').value === 'curve';
  byId('shape').closest('label').hidden = view !== 'term';
  for (const [id, used] of [['from', !isCurve], ['to', !isCurve], ['at', isCurve]]) {
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
  if (view === 'spreads') return { sql: spreadStatement(options), chart: { kind: 'line', x, y: 'spread_pct', series: 'exchange / market' } };
  const y = 'annualised_simple_pct';
  if (byId('shape').value === 'curve') return { sql: curveStatement(options), chart: { kind: 'line', x: 'days_to_expiry', y, series: 'exchange' } };
  return { sql: basisStatement(options), chart: { kind: byId('shape').value === 'heatmap' ? 'heatmap' : 'line', x, y, series: 'exchange / market' } };
}

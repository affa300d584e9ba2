// The catalogue: views of `api` with their columns. A click puts a name into the statement.

import { VIEWS } from './descriptions.js';
import { button, byId, make } from './dom.js';
import { ask } from './server.js';

const CANDLES = 'ohlcv';
const COLUMNS = "SELECT table, name, type FROM system.columns WHERE database = 'api' ORDER BY table, position";
const CANDLE_COLUMNS = 'DESCRIBE TABLE api.ohlcv(candle_duration_in_minutes = 1440)';

// Raises what `ask` raises. `insert` is given the text of what was clicked.
export async function showCatalogue(insert) {
  const [columns, candles] = await Promise.all([ask(COLUMNS), ask(CANDLE_COLUMNS)]); // a view with parameters has no columns in system.columns
  const tables = new Map([[CANDLES, candles.rows.map(([name, type]) => ({ name, type }))]]);
  for (const [table, name, type] of columns.rows) tables.set(table, [...(tables.get(table) ?? []), { name, type }]);
  byId('catalogue-tree').replaceChildren(
    make('p', { className: 'database' }, 'Database ', make('code', {}, 'api'), make('small', {}, 'a click puts the name into the query')),
    ...[...tables].map(([name, own]) => viewEntry(name, own, insert)),
  );
}

function viewEntry(name, columns, insert) {
  const known = VIEWS[name] ?? { insert: `api.${name}`, about: '', columns: {} };
  const items = columns.map((column) =>
    make('li', {},
      button(column.name, () => insert(column.name), { className: 'name', title: `Insert ${column.name}` }),
      make('small', { className: 'type' }, column.type),
      make('small', { className: 'about' }, known.columns[column.name] ?? '')));
  return make('details', {},
    make('summary', {}, name, make('small', {}, known.about)),
    button(known.insert, () => insert(known.insert), { className: 'name', title: `Insert ${known.insert}` }),
    make('ul', {}, ...items));
}

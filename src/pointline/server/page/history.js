// The queries that were run in this browser, newest first. They stay in it (localStorage), those of each user by themselves. Statements and the
// values of their parameters are kept, and nothing else: no password, no token, no result.

import { button, byId, make } from './dom.js';

const MOST = 50;
const LONGEST = 20_000;
const SHOWN_LETTERS = 160;

let user = '';
let open = () => {};

// Shows the history of a user; `opened` is given what was clicked: { sql, parameters }.
export function showHistory(name, opened = open) {
  user = name;
  open = opened;
  render();
}

export function remember(sql, parameters) {
  if (sql.length > LONGEST) return;
  const entry = { sql, parameters, at: new Date().toISOString().slice(0, 16).replace('T', ' ') };
  write([entry, ...read().filter((one) => one.sql !== sql)].slice(0, MOST));
  render();
}

function render() {
  const entries = read();
  const items = entries.map((entry) =>
    make('li', {},
      button(entry.sql.replace(/\s+/g, ' ').slice(0, SHOWN_LETTERS), () => open(entry), { className: 'name', title: entry.sql }),
      make('small', {}, `${entry.at} UTC`)));
  const clear = button('Clear', () => {
    write([]);
    render();
    byId('history').querySelector('summary').focus();
  }, { id: 'clear-history' });
  byId('history-list').replaceChildren(
    make('p', { className: 'note' }, entries.length ? 'Kept in this browser only.' : 'Queries that you run are kept here, in this browser only.'),
    ...(entries.length ? [make('ul', {}, ...items), clear] : []),
  );
}

function key() {
  return `pointline.history.${user}`;
}

// What is not of the right form is passed over: other pages of the same address could have written it.
function read() {
  try {
    const found = JSON.parse(localStorage.getItem(key()) ?? '[]');
    return found.filter((one) => typeof one?.sql === 'string' && typeof one.at === 'string' && typeof one.parameters === 'object' && one.parameters !== null);
  } catch {
    return [];
  }
}

function write(entries) {
  try {
    if (entries.length) localStorage.setItem(key(), JSON.stringify(entries));
    else localStorage.removeItem(key());
  } catch {
    // a browser that stores nothing, or nothing more, has no history
  }
}

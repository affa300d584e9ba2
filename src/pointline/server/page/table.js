// The table of a result, a page of rows at a time, in the order of a column.

import { button, byId, make } from './dom.js';
import { cellText, isNumber, numberText, plainType, toCsv } from './result.js';
import { sortedPlaces } from './sorting.js';

const PAGE_ROWS = 100;
const SHOWN_TEXT = 100_000;
const ROUNDED = 'Some numbers are rounded to ten digits here: pointing at one shows all of it, and what is downloaded or copied has every digit.';

// `fetchParquet` asks the server for the same result as a Parquet file.
export function showResult(result, say, fetchParquet) {
  const section = byId('result');
  section.hidden = result === null;
  if (result === null) section.replaceChildren();
  else if (result.blob) showOther(section, result);
  else showTable(section, result, say, fetchParquet);
}

function showTable(section, result, say, fetchParquet) {
  const body = make('tbody');
  const pager = make('div', { className: 'pager' });
  const note = make('p', { className: 'note' });
  const last = Math.max(0, Math.ceil(result.rows.length / PAGE_ROWS) - 1);
  let places = sortedPlaces(result, null);

  function turnTo(page) {
    const first = page * PAGE_ROWS;
    const shown = places.slice(first, first + PAGE_ROWS);
    body.replaceChildren(...shown.map((place) => tableRow(result.columns, result.rows[place], place + 1)));
    const isRounded = body.querySelector('.rounded') !== null;
    note.textContent = isRounded ? ROUNDED : '';
    const place = `${(first + 1).toLocaleString('en')} to ${(first + shown.length).toLocaleString('en')} of ${result.rows.length.toLocaleString('en')}`;
    pager.replaceChildren(
      turner('«', 'First page', 0, page > 0),
      turner('‹', 'Previous page', page - 1, page > 0),
      make('span', { role: 'status' }, place),
      turner('›', 'Next page', page + 1, page < last),
      turner('»', 'Last page', last, page < last),
    );
  }

  function turner(sign, name, page, enabled) {
    return button(sign, () => {
      turnTo(page);
      (pager.querySelector(`[aria-label="${name}"]:enabled`) ?? pager.querySelector(':enabled')).focus();
    }, { 'aria-label': name, title: name, disabled: !enabled });
  }

  const heads = headsOf(result.columns, (order) => {
    places = sortedPlaces(result, order);
    turnTo(0);
  });
  const table = make('table', {}, make('thead', {}, make('tr', {}, make('th', { className: 'row-number', 'aria-label': 'Row' }, '#'), ...heads)), body);
  turnTo(0);
  section.replaceChildren(
    make('div', { className: 'actions' },
      button('Download CSV', () => download(new Blob(toCsv(result), { type: 'text/csv' }), 'result.csv')),
      button('Download Parquet', () => downloadParquet(fetchParquet, say)),
      button('Copy CSV', () => copy(toCsv(result).join(''), 'The table is on the clipboard.', say)),
      ...(last > 0 ? [pager] : [])),
    make('div', { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Result table' }, table),
    note,
  );
}

// Heads whose names are buttons: the first click sorts upwards, the second downwards, the third restores the order of the server.
function headsOf(columns, sort) {
  let order = null;
  const heads = columns.map(({ name, type }, column) => {
    const click = () => {
      const again = order?.column === column;
      order = again && order.descending ? null : { column, descending: again };
      for (const [n, head] of heads.entries()) head.setAttribute('aria-sort', order?.column !== n ? 'none' : order.descending ? 'descending' : 'ascending');
      sort(order);
    };
    return make('th', { scope: 'col', className: isNumber(type) ? 'number' : '', 'aria-sort': 'none' },
      button(name, click, { className: 'sort', title: `Sort by ${name}` }), make('small', { title: type }, plainType(type)));
  });
  return heads;
}

function tableRow(columns, row, number) {
  const cells = row.map((value, n) => {
    if (value === null) return make('td', { className: 'null' }, 'NULL');
    const whole = cellText(value);
    if (!isNumber(columns[n].type)) return make('td', { title: whole.length > 40 ? whole : '' }, whole);
    const text = numberText(value);
    const isRounded = text !== whole.replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '');
    return make('td', { className: isRounded ? 'number rounded' : 'number', title: text === whole ? '' : whole }, text);
  });
  return make('tr', {}, make('td', { className: 'row-number' }, String(number)), ...cells);
}

async function downloadParquet(fetchParquet, say) {
  say('Asking the server for the result as Parquet …');
  try {
    const { blob, format, notes } = await fetchParquet();
    if (format !== 'Parquet') return say('The statement names its own format; without FORMAT at its end it can be downloaded as Parquet.');
    download(blob, 'result.parquet');
    say(['The Parquet file is downloaded.', ...notes].join(' '));
  } catch (error) {
    say(`There is no Parquet file: ${error.message}`);
  }
}

// What a statement's own FORMAT gave: text is shown, everything can be kept.
async function showOther(section, { blob, format }) {
  const actions = make('div', { className: 'actions' }, button(`Download ${format}`, () => download(blob, `result.${format.toLowerCase()}`)));
  section.replaceChildren(actions);
  if (/^(?:text|application\/(?:json|xml|x-ndjson))/.test(blob.type)) {
    const text = await blob.slice(0, SHOWN_TEXT).text();
    const cut = blob.size > SHOWN_TEXT ? `the first ${SHOWN_TEXT.toLocaleString('en')} bytes of ${blob.size.toLocaleString('en')}` : '';
    section.append(make('pre', { className: 'scroll', tabIndex: 0 }, text), make('p', { className: 'note' }, cut));
  }
}

function download(blob, name) {
  const address = URL.createObjectURL(blob);
  make('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address));
}

export async function copy(text, done, say) {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    say('The browser does not allow copying here; it does on https and on localhost.');
  }
}

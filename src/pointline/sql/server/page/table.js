// The table of a result, a page of rows at a time.

import { button, byId, make } from './dom.js';
import { cellText, isNumber, plainType, toCsv } from './result.js';

const PAGE_ROWS = 100;
const SHOWN_TEXT = 100_000;

export function showResult(result, say) {
  const section = byId('result');
  section.hidden = result === null;
  if (result === null) section.replaceChildren();
  else if (result.blob) showOther(section, result);
  else showTable(section, result, say);
}

function showTable(section, result, say) {
  const body = make('tbody');
  const pager = make('div', { className: 'pager' });
  const last = Math.max(0, Math.ceil(result.rows.length / PAGE_ROWS) - 1);

  function turnTo(page) {
    const first = page * PAGE_ROWS;
    const rows = result.rows.slice(first, first + PAGE_ROWS);
    body.replaceChildren(...rows.map((row, n) => tableRow(result.columns, row, first + n + 1)));
    const place = `${(first + 1).toLocaleString('en')} to ${(first + rows.length).toLocaleString('en')} of ${result.rows.length.toLocaleString('en')}`;
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

  const heads = result.columns.map(({ name, type }) =>
    make('th', { scope: 'col', className: isNumber(type) ? 'number' : '' }, name, make('small', { title: type }, plainType(type))));
  const table = make('table', {}, make('thead', {}, make('tr', {}, make('th', { className: 'row-number', 'aria-label': 'Row' }, '#'), ...heads)), body);
  turnTo(0);
  section.replaceChildren(
    make('div', { className: 'actions' },
      button('Download CSV', () => download(new Blob(toCsv(result), { type: 'text/csv' }), 'result.csv')),
      button('Copy CSV', () => copy(toCsv(result).join(''), 'The table is on the clipboard.', say)),
      ...(last > 0 ? [pager] : [])),
    make('div', { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Result table' }, table),
  );
}

function tableRow(columns, row, number) {
  const cells = row.map((value, n) => {
    if (value === null) return make('td', { className: 'null' }, 'NULL');
    const text = cellText(value);
    return make('td', { className: isNumber(columns[n].type) ? 'number' : '', title: text.length > 40 ? text : '' }, text);
  });
  return make('tr', {}, make('td', { className: 'row-number' }, String(number)), ...cells);
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

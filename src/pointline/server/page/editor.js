// The query box: a textarea whose letters are transparent, over the same text in colours. The textarea does all the work: typing, selecting,
// undoing, composing. It grows with its text up to thirty lines and scrolls from there on.

import { byId, make } from './dom.js';
import { tokens } from './highlight.js';

const LEAST_LINES = 8;
const MOST_LINES = 30;
const COLOURED_LENGTH = 30_000; // longer statements are shown without colours: they would slow down typing

const box = byId('statement');
const frame = box.parentElement;
const colours = byId('statement-colours');

export function statementText() {
  return box.value;
}

// Shows a statement.
export function setStatement(text) {
  box.value = text;
  box.scrollTop = 0;
  repaint();
}

// Puts text where the cursor is, as if it were typed.
export function insertText(text) {
  box.focus();
  if (!document.execCommand('insertText', false, text)) { // the one way that can be undone
    box.setRangeText(text, box.selectionStart, box.selectionEnd, 'end');
    box.dispatchEvent(new Event('input', { bubbles: true }));
  }
}

export function selectText(start, end) {
  box.focus();
  box.setSelectionRange(start, end);
}

// Makes the box small until it is used again, so that what lies below it moves up.
export function makeSmall() {
  frame.classList.add('small');
}

export function listenToEditor(changed) {
  box.addEventListener('input', () => {
    repaint();
    changed();
  });
  box.addEventListener('scroll', follow);
  box.addEventListener('focus', () => frame.classList.remove('small'));
  let width = 0;
  new ResizeObserver(() => {
    if (box.clientWidth !== width) fit();
    width = box.clientWidth;
    follow();
  }).observe(box);
}

function repaint() {
  const parts = box.value.length > COLOURED_LENGTH ? [{ kind: 'plain', text: box.value }] : tokens(box.value);
  const shown = parts.map(({ kind, text }) => (kind === 'plain' ? text : make('span', { className: `sql-${kind}` }, text)));
  colours.replaceChildren(...shown, ' '); // the space gives an empty last line its height
  fit();
  follow();
}

// The coloured text is as wide as the box's own, which is narrower where there is a scroll bar.
function fit() {
  const style = getComputedStyle(box);
  const pixels = (name) => Number.parseFloat(style[name]);
  const line = pixels('lineHeight');
  const rest = pixels('paddingTop') + pixels('paddingBottom') + box.offsetHeight - box.clientHeight;
  const widen = () => {
    const width = box.getBoundingClientRect().width - (box.offsetWidth - box.clientWidth) - pixels('paddingLeft') - pixels('paddingRight');
    colours.style.width = `${width}px`;
  };
  widen();
  box.style.height = `${Math.ceil(Math.min(MOST_LINES, Math.max(LEAST_LINES, Math.round(colours.offsetHeight / line))) * line + rest)}px`;
  widen(); // a scroll bar may have come or gone
}

function follow() {
  colours.style.transform = `translate(${-box.scrollLeft}px, ${-box.scrollTop}px)`;
}

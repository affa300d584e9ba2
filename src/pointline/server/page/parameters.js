// Fields for the parameters of a statement, {name:Type}, and what is sent for them.

import { byId, make } from './dom.js';
import { tokens } from './highlight.js';

const ESCAPES = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\0': '\\0', '\b': '\\b', '\f': '\\f' };

let shown = '';

// The parameters of a statement, each once: { name, type }.
export function parametersOf(sql) {
  const found = new Map();
  for (const { kind, text } of tokens(sql)) {
    if (kind !== 'parameter') continue;
    const [, name, type] = /^\{\s*(\w+)\s*:\s*([^]*?)\s*\}$/.exec(text);
    if (!found.has(name)) found.set(name, { name, type });
  }
  return [...found.values()];
}

// Shows a field for each parameter of a statement. `values` holds what is in them by name, and is kept up to date.
export function showParameters(sql, values) {
  const wanted = parametersOf(sql);
  const section = byId('parameters');
  const signature = JSON.stringify(wanted);
  section.hidden = wanted.length === 0;
  if (signature !== shown) section.replaceChildren(...wanted.map(fieldOf));
  shown = signature;
  for (const input of section.querySelectorAll('[data-parameter]')) {
    const name = input.dataset.parameter;
    if (input.value !== valueOf(values, name)) input.value = valueOf(values, name);
    if (input.tagName === 'SELECT' && input.selectedIndex < 0) input.selectedIndex = 0;
    values[name] = input.value;
    input.oninput = () => { values[name] = input.value; };
  }
}

function valueOf(values, name) {
  return Object.hasOwn(values, name) ? String(values[name]) : '';
}

function fieldOf({ name, type }) {
  const kind = kindOf(type);
  const common = { 'data-parameter': name, autocomplete: 'off' };
  const options = [...(isNullable(type) ? [['', 'NULL']] : []), ['true', 'true'], ['false', 'false']];
  const input = kind === 'choice'
    ? make('select', common, ...options.map(([value, text]) => make('option', { value }, text)))
    : make('input', { ...common, ...SHAPES[kind], spellcheck: false, placeholder: isNullable(type) ? 'empty is NULL' : '' });
  return make('label', {}, make('span', {}, make('b', {}, name), ` ${type}`), input);
}

const SHAPES = {
  whole: { type: 'number', step: '1', inputMode: 'numeric' },
  number: { type: 'number', step: 'any', inputMode: 'decimal' },
  date: { type: 'date' },
  time: { type: 'datetime-local', step: '1' },
  'fine time': { type: 'datetime-local', step: '0.001' },
  list: { type: 'text', autocapitalize: 'none' },
  text: { type: 'text', autocapitalize: 'none' },
};

function isNullable(type) {
  return /^(?:LowCardinality\()?Nullable\(/.test(type);
}

function kindOf(type) {
  const plain = type.replace(/^(?:(?:Nullable|LowCardinality)\()+/, '');
  if (/^U?Int\d/.test(plain)) return 'whole';
  if (/^(?:B?Float|Decimal)/.test(plain)) return 'number';
  if (/^Date(?:32)?\b/.test(plain)) return 'date';
  if (/^DateTime64/.test(plain)) return 'fine time';
  if (/^DateTime/.test(plain)) return 'time';
  if (/^Bool/.test(plain)) return 'choice';
  return /^(?:Array|Map|Tuple)/.test(plain) ? 'list' : 'text';
}

// What is sent for a statement's parameters, by name as `param_name`. Raises an error that names the first which has no value.
export function sentParameters(sql, values) {
  return Object.fromEntries(parametersOf(sql).map(({ name, type }) => [`param_${name}`, sentValue(name, type, valueOf(values, name))]));
}

function sentValue(name, type, value) {
  const kind = kindOf(type);
  if (value === '' && isNullable(type)) return '\\N';
  if (kind === 'text') return value.replace(/[\\\n\r\t\0\b\f]/g, (letter) => ESCAPES[letter]);
  if (value === '') throw Object.assign(new Error(`The parameter ${name} has no value: its field takes ${type}.`), { name: 'Not sent' });
  if (kind === 'time' || kind === 'fine time') return value.replace('T', ' ').replace(/^(\S+ \d\d:\d\d)$/, '$1:00');
  return value;
}

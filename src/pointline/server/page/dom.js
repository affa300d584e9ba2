// Elements. Text that comes from the server reaches the page as text nodes and properties only, never as markup.

export function byId(id) {
  return document.getElementById(id);
}

// An element with properties (or attributes, where it has no such property) and children, which are elements or text.
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function button(text, onclick, properties = {}) {
  return make('button', { type: 'button', onclick, ...properties }, text);
}

// Fills a <select> with [value, text] pairs, or [value, text, disabled], and keeps what was chosen where it is still there.
export function fillSelect(select, pairs, chosen = select.value) {
  select.replaceChildren(...pairs.map(([value, text, disabled = false]) => make('option', { value, disabled }, text)));
  select.value = pairs.some(([value]) => value === chosen) ? chosen : (pairs[0]?.[0] ?? '');
}

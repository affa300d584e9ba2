// The state of the page in its address, so that a query can be shared. The statement of a link is shown and not run; the user runs it.

const CHART = ['kind', 'x', 'y', 'series'];
const PARAMETER = 'param_';

// `parameters` are [name, value] pairs.
export function toHash(view, sql, chart, parameters) {
  const values = new URLSearchParams({ view, sql });
  for (const name of CHART) if (chart[name] !== undefined) values.set(name, chart[name]);
  for (const [name, value] of parameters) values.set(PARAMETER + name, value);
  return `#${values}`;
}

export function fromHash(hash) {
  const values = new URLSearchParams(hash.slice(1));
  if (!values.has('sql')) return null;
  const chart = Object.fromEntries(CHART.filter((name) => values.has(name)).map((name) => [name, values.get(name)]));
  const given = [...values].filter(([name]) => name.startsWith(PARAMETER));
  const parameters = Object.fromEntries(given.map(([name, value]) => [name.slice(PARAMETER.length), value]));
  return { view: values.get('view'), sql: values.get('sql'), chart, parameters };
}

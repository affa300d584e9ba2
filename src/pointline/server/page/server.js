// Requests to the server of this page, over ClickHouse's HTTP interface.

const LOGIN_CODES = new Set([194, 516]); // REQUIRED_PASSWORD, AUTHENTICATION_FAILED

// Whole numbers of 64 bits and decimals come as text, because a JavaScript number would round them.
const SETTINGS = {
  default_format: 'JSONCompact',
  enable_http_compression: '1',
  output_format_json_quote_64bit_integers: '1',
  output_format_json_quote_decimals: '1',
  output_format_json_quote_denormals: '1',
};

let identity = {}; // headers, in memory only

export class QueryError extends Error {
  constructor(code, name, message) {
    super(message);
    this.code = code;
    this.name = name;
  }

  get asksForLogin() {
    return LOGIN_CODES.has(this.code);
  }
}

export function signIn(user, secret) {
  if (user.includes(':')) throw new QueryError(0, '', 'the name of a user has no colon');
  const bytes = new TextEncoder().encode(`${user}:${secret}`); // a header of its own would carry letters beyond ASCII in another encoding
  identity = { Authorization: user ? `Basic ${btoa(String.fromCharCode(...bytes))}` : `Bearer ${secret}` };
}

export function signOut() {
  identity = {};
}

// The result of a statement: { columns: [{ name, type }], rows, summary, notes }, or { blob, format, summary, notes } where the statement
// names another format or one is asked for. `parameters` are sent beside it, as `param_name`; notes are sentences of the server about the result.
export async function ask(statement, { signal, parameters = {}, format = SETTINGS.default_format } = {}) {
  const response = await reach(`./?${new URLSearchParams({ ...parameters, ...SETTINGS, default_format: format })}`, {
    method: 'POST',
    body: statement,
    headers: identity,
    credentials: 'omit', // so that the browser shows no login form of its own
    cache: 'no-store',
    signal,
  });
  if (!response.ok) throw refusal(response, await response.text());
  const summary = JSON.parse(response.headers.get('X-ClickHouse-Summary') ?? '{}');
  const notes = notesOf(response.headers.get('X-Pointline-Notes'));
  const written = response.headers.get('X-ClickHouse-Format');
  if (written !== SETTINGS.default_format) return { format: written, summary, notes, blob: await response.blob() };
  const { meta, data } = await response.json();
  return { columns: meta, rows: data, summary, notes };
}

function notesOf(header) {
  if (header === null) return [];
  try {
    return [JSON.parse(header)].flat().map(String);
  } catch {
    return [header];
  }
}

async function reach(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new QueryError(0, '', 'The server cannot be reached. Is it still running?');
  }
}

function refusal(response, text) {
  const code = Number(response.headers.get('X-ClickHouse-Exception-Code') ?? 0);
  const parts = /^Code: \d+\. DB::Exception: ([^]*) \(([A-Z_0-9]+)\) \(version .*\)\s*$/.exec(text);
  return parts ? new QueryError(code, parts[2], parts[1]) : new QueryError(code, `HTTP ${response.status}`, text.slice(0, 2000));
}

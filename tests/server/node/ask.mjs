// Asks the server at the address in the first argument and prints what it got as one JSON object.

import { createClient } from "@clickhouse/client";
import { createHash } from "node:crypto";

const url = process.argv[2];
const client = createClient({ url, database: "api", clickhouse_settings: { max_execution_time: 20 } });
const CANDLES = `SELECT toString(start) AS start, exchange, market, toString(close) AS close, toString(volume) AS volume
FROM api.ohlcv(candle_duration_in_minutes = {minutes:UInt32}) ORDER BY exchange, market, start`;
const query_params = { minutes: 60 };

async function read(stream) {
  const parts = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

async function json(query, options = {}, from = client) {
  const found = await from.query({ query, format: "JSON", ...options });
  return found.json();
}

async function refusal(work) {
  try {
    await work();
    return null;
  } catch (error) {
    return { name: error.constructor.name, code: error.code, type: error.type, message: String(error.message).slice(0, 200) };
  }
}

const tasks = {
  ping: () => client.ping(),
  pingWithSelect: () => client.ping({ select: true }),
  json: async () => (await json(CANDLES, { query_params })).data,
  jsonCompactEachRow: async () => {
    const found = await client.query({ query: CANDLES, format: "JSONCompactEachRow", query_params });
    return found.json();
  },
  streamedRows: async () => {
    const found = await client.query({ query: CANDLES, format: "JSONEachRow", query_params });
    const rows = [];
    for await (const batch of found.stream()) for (const row of batch) rows.push(row.json());
    return rows;
  },
  csv: async () => {
    const found = await client.query({ query: CANDLES, format: "CSV", query_params });
    let text = "";
    for await (const batch of found.stream()) for (const row of batch) text += `${row.text}\n`;
    return text;
  },
  parquet: async () => {
    const found = await client.exec({ query: `${CANDLES} FORMAT Parquet`, query_params });
    return (await read(found.stream)).toString("base64");
  },
  compressed: async () => {
    const other = createClient({ url, compression: { response: true, request: true } });
    const found = await json("SELECT number FROM numbers(100000)", { format: "JSONCompact" }, other);
    await other.close();
    return found.data.reduce((sum, row) => sum + Number(row[0]), 0);
  },
  largeStream: async () => {
    const found = await client.query({ query: "SELECT number FROM numbers(500000)", format: "JSONCompactEachRow" });
    const digest = createHash("sha256");
    let rows = 0;
    for await (const batch of found.stream())
      for (const row of batch) {
        digest.update(`${row.json()[0]}\n`);
        rows += 1;
      }
    return { rows, sha256: digest.digest("hex") };
  },
  parameters: async () => {
    const given = {
      text: "tab\tline\nquote ' backslash \\ ü 你好 %",
      whole: -42,
      large: "9007199254740993",
      half: 0.5,
      yes: true,
      day: "2024-12-01",
      time: new Date("2024-12-01T01:02:03.456Z"),
      list: ["it's", "\\", ""],
      days: ["2024-12-01", "2024-12-02"],
      exact: "12345678901234567890.123456789012",
      none: null,
      pairs: { a: 1, b: 2 },
      numbers: [1, 2, 3],
    };
    const query = `SELECT {text:String} AS text, {whole:Int32} AS whole, {large:UInt64} AS large, {half:Float64} AS half, {yes:Bool} AS yes,
      {day:Date} AS day, {time:DateTime64(3)} AS time, {list:Array(String)} AS list, {days:Array(Date)} AS days,
      {exact:Decimal(38, 12)} AS exact, {none:Nullable(String)} AS none, {pairs:Map(String, UInt8)} AS pairs, {numbers:Array(UInt8)} AS numbers`;
    const found = await json(query, {
      query_params: given,
      clickhouse_settings: { output_format_json_quote_decimals: 1, output_format_json_quote_64bit_integers: 1 },
    });
    return { given, row: found.data[0] };
  },
  identifier: async () =>
    (await json("SELECT count() AS n FROM {name:Identifier}", { query_params: { name: "market_spot" } })).data,
  session: async () => {
    const other = createClient({ url, session_id: "one", max_open_connections: 1 });
    const found = await json("SELECT 1 AS a", {}, other);
    await other.close();
    return found.data;
  },
  settings: async () => (await json("SELECT number FROM numbers(10)", { clickhouse_settings: { limit: "3" } })).rows,
  queryId: async () => {
    const found = await client.query({ query: "SELECT 1", format: "JSON", query_id: "from-node-1" });
    await found.text();
    return found.query_id;
  },
  command: () => refusal(() => client.command({ query: "DROP TABLE api.trade" })),
  insert: () => refusal(() => client.insert({ table: "api.market_spot", values: [{ exchange: "x" }], format: "JSONEachRow" })),
  unknownColumn: () => refusal(() => json("SELECT nosuch")),
  hostile: () => refusal(() => json("SELECT file('/etc/passwd')")),
  unknownSetting: () => refusal(() => json("SELECT 1", { clickhouse_settings: { allow_ddl: 1 } })),
  abort: async () => {
    const controller = new AbortController();
    const query = "SELECT sum(sipHash64(number)) FROM numbers(400000000)";
    const running = refusal(() => json(query, { abort_signal: controller.signal, query_id: "aborted-by-node" }));
    await json("SELECT 1"); // sent later, so the server has the other query when this one is answered
    controller.abort();
    const told = await running;
    return { told, after: (await json("SELECT 1 AS a")).data };
  },
  parallel: async () => {
    const texts = await Promise.all(Array.from({ length: 8 }, async () => JSON.stringify((await json(CANDLES, { query_params })).data)));
    return new Set(texts).size;
  },
};

const results = {};
for (const [name, task] of Object.entries(tasks)) {
  try {
    results[name] = await task();
  } catch (error) {
    results[name] = { failed: String(error.stack ?? error) };
  }
}
await client.close();
process.stdout.write(JSON.stringify(results));

// Statements to begin with, and how each is drawn.

import { basisStatement, curveStatement, spreadStatement } from './statements.js';

const DECEMBER = { duration: 1440, from: '2024-12-01', to: '2024-12-31' };
const BITCOIN = { exchange: 'binance', market: 'BTC-USDT' };
const SPREADS = { kind: 'line', x: 'day', y: 'spread_pct', series: 'exchange / market' };

function contracts(asset) {
  return [
    { exchange: 'binance-usdm-future', market: `${asset}-USDT` },
    { exchange: 'binance-usdm-future', market: `${asset}-USDT-2025-03-28` },
    { exchange: 'binance-coinm-future', market: `${asset}-USD-PERP` },
  ];
}

const QUARTERLIES = ['2024-12-27', '2025-03-28', '2025-06-27'].map((day) => ({ exchange: 'binance-usdm-future', market: `BTC-USDT-${day}` }));

const SPOT_FUTURES_PERP = `WITH
    '2024-12-01' AS start_date,
    '2024-12-31' AS end_date,
    candles AS (
        SELECT toDate(start) AS day, exchange, market, toFloat64(close) AS close
        FROM api.ohlcv(candle_duration_in_minutes = 1440)
        WHERE (
                  (exchange = 'binance' AND market = 'BTC-USDT')
               OR (exchange = 'binance-usdm-future' AND market IN ('BTC-USDT', 'BTC-USDT-2025-03-28'))
               OR (exchange = 'binance-coinm-future' AND market = 'BTC-USD-PERP')
              )
          AND start BETWEEN start_date AND end_date
    ),
    spot AS (
        SELECT day, close AS spot_close
        FROM candles
        WHERE exchange = 'binance' AND market = 'BTC-USDT'
    )
SELECT c.day, c.exchange, c.market,
       c.close, s.spot_close,
       c.close - s.spot_close AS spread,
       (c.close - s.spot_close) / s.spot_close * 100 AS spread_pct
FROM candles c
JOIN spot s ON c.day = s.day
WHERE NOT (c.exchange = 'binance' AND c.market = 'BTC-USDT')
ORDER BY c.day, c.exchange, c.market
`;

const FUNDING = `SELECT toDate(timestamp) AS day, exchange, market,
       sum(funding_rate) * 100 AS funding_pct, count() AS payments
FROM api.funding_rate
WHERE market LIKE 'BTC-%'
GROUP BY day, exchange, market
ORDER BY day, exchange, market`;

const COVERAGE = `SELECT *
FROM api.coverage
ORDER BY kind, exchange, market, native_symbol`;

export const EXAMPLES = [
  { name: 'Spreads: spot, perpetuals, future', sql: SPOT_FUTURES_PERP, chart: SPREADS },
  {
    name: 'Annualised basis',
    sql: basisStatement({ ...DECEMBER, reference: BITCOIN, contracts: QUARTERLIES }),
    chart: { kind: 'line', x: 'day', y: 'annualised_simple_pct', series: 'market' },
  },
  {
    name: 'Another asset: ETH',
    sql: spreadStatement({ ...DECEMBER, reference: { exchange: 'binance', market: 'ETH-USDT' }, contracts: contracts('ETH') }),
    chart: SPREADS,
  },
  {
    name: 'Another reference: Coinbase',
    sql: spreadStatement({ ...DECEMBER, reference: { exchange: 'coinbase', market: 'BTC-USD' }, contracts: contracts('BTC') }),
    chart: SPREADS,
  },
  {
    name: 'Term structure',
    sql: curveStatement({ duration: 1440, at: '2024-12-15 00:00', reference: BITCOIN, contracts: QUARTERLIES }),
    chart: { kind: 'line', x: 'days_to_expiry', y: 'annualised_simple_pct', series: 'exchange' },
  },
  { name: 'Funding by day', sql: FUNDING, chart: { kind: 'bar', x: 'day', y: 'funding_pct', series: 'exchange / market' } },
  { name: 'Coverage: what the lake holds', sql: COVERAGE, chart: { kind: 'none' } },
];

// Where a line must break: a day or a candle that is missing between two that are there.

const EVENT = /^(?:timestamp|known_at|expiration)$/; // these columns hold no grid of times
const RARE = 0.1; // steps that make up less than this are no step of the grid

// Milliseconds since 1970 of a time as the server writes it; NaN of other texts.
export function millisOf(text) {
  const found = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(\.\d+)?)?/.exec(text);
  return found ? Date.parse(`${found[1]}T${found[2] ?? '00:00:00'}Z`) + Number(found[3] ?? 0) * 1000 : NaN;
}

export function timeText(millis, like) {
  return new Date(millis).toISOString().replace('T', ' ').slice(0, like.length > 10 ? 19 : 10);
}

// The step in milliseconds of the grid that times lie on, taken over all series, or null where they lie on none. `series` is a list of ordered
// lists of distinct milliseconds.
export function stepOf(series, column) {
  const counts = new Map();
  let all = 0;
  for (const times of series) {
    for (let n = 1; n < times.length; n += 1) {
      const step = times[n] - times[n - 1];
      counts.set(step, (counts.get(step) ?? 0) + 1);
      all += 1;
    }
  }
  const steps = [...counts].sort(([a], [b]) => a - b);
  if (EVENT.test(column)) return steps.find(([, count]) => count * 2 > all)?.[0] ?? null;
  const isGrid = series.every((times) => times.every((time) => time % 1000 === 0));
  return isGrid ? steps.find(([, count]) => count >= all * RARE)?.[0] ?? null : null;
}

// Points [time, value] in order, with a point without a value in every gap.
export function withGaps(points, step) {
  const found = [];
  for (const [n, point] of points.entries()) {
    const [before, now] = n ? [millisOf(points[n - 1][0]), millisOf(point[0])] : [];
    if (n && step !== null && now - before > 1.5 * step) found.push([timeText(before + step, point[0]), null]);
    found.push(point);
  }
  return found;
}

// Times in order with those that are missing between them, as long as there are not too many of them.
export function filled(times, step, most) {
  if (step === null || times.length === 0) return times;
  const found = [times[0]];
  for (const time of times.slice(1)) {
    const end = millisOf(time);
    for (let at = millisOf(found.at(-1)) + step; end - at > step / 2; at += step) {
      if (found.length >= most) return times;
      found.push(timeText(at, time));
    }
    found.push(time);
  }
  return found;
}

/** From figures to pixels: scales, and the round numbers to mark on them. */

/** A function that maps `[low, high]` onto `[from, to]`. */
export function linear(low, high, from, to) {
  const slope = high > low ? (to - from) / (high - low) : 0;
  return (x) => from + (x - low) * slope;
}

/** About `n` round numbers from `low` to `high`. */
export function ticks(low, high, n) {
  if (!(high > low)) return [low];
  const rough = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** At most `n` of the powers of ten up to `high`, from 1. */
export function powers(high, n) {
  const most = Math.floor(Math.log10(Math.max(high, 1)));
  const every = Math.max(1, Math.ceil((most + 1) / n));
  return Array.from({ length: Math.floor(most / every) + 1 }, (_, i) => 10 ** (i * every));
}

/** How high the bars of some counts are, from 0 to 1, by their logarithm if they differ much. */
export function heights(counts, spread = 60) {
  const some = counts.filter((n) => n > 0);
  const most = some.reduce((a, b) => Math.max(a, b), 1);
  const least = some.reduce((a, b) => Math.min(a, b), most);
  const log = most / least > spread;
  const height = log ? (n) => (n > 0 ? (Math.log10(n) + 0.3) / (Math.log10(most) + 0.3) : 0) : (n) => n / most;
  return { log, most, height };
}

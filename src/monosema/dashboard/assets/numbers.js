/** Numbers as text: three significant digits, a true minus sign, a dash for what is not known. */

const NONE = "–";

/** A whole number, with commas. */
export function count(n) {
  return n === null || n === undefined ? NONE : n.toLocaleString("en-US");
}

/** A number of any size. */
export function value(v) {
  if (v === null || v === undefined) return NONE;
  return (v < 0 ? "−" : "") + short(Math.abs(v));
}

/** A number with its sign, `+` too. */
export function signed(v) {
  return v > 0 ? `+${value(v)}` : value(v);
}

/** A share as a percentage. */
export function percent(share) {
  return share === null || share === undefined ? NONE : `${value(share * 100)} %`;
}

/** A share as the number of things among which there is one. */
export function oneIn(share) {
  return share > 0 ? `1 in ${count(share < 0.1 ? Math.round(1 / share) : Number((1 / share).toPrecision(2)))}` : "none";
}

function short(v) {
  if (v === 0) return "0";
  if (v >= 100000) return v.toPrecision(3).replace("e+", "e");
  if (v >= 1000) return count(Math.round(v));
  if (v >= 100) return v.toFixed(0);
  if (v >= 10) return v.toFixed(1);
  if (v >= 0.01) return v.toFixed(v >= 0.1 ? 2 : 3);
  return v >= 0.0001 ? v.toPrecision(2) : v.toExponential(1);
}

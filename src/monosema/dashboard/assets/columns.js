/** Sorting and sifting the columns of all features. */

/** The first order of each column: numbers from the largest, the others from the smallest. */
export const DESCENDING = {
  feature: false,
  token: false,
  logit: false,
  density: true,
  max: true,
  mean: true,
  skew: true,
  head: false,
};

/** The places of the features that pass, in order. `among` is a set of features, or null for all. */
export function sifted(columns, { sort, descending, from, to, head, among }) {
  const { feature, density } = columns;
  const passes = (i) =>
    (from === null || density[i] >= from) &&
    (to === null || density[i] <= to) &&
    (head === null || columns.head?.[i] === head) &&
    (among === null || among.has(feature[i]));
  const places = [];
  for (let i = 0; i < feature.length; i += 1) if (passes(i)) places.push(i);
  const column = columns[sort] ?? feature;
  return sorted(places, (i) => column[i], descending);
}

/** Sorts places by what is at them; what is not known comes last, and of equals the first. */
export function sorted(places, at, descending) {
  const unknown = (value) => value === null || value === undefined || value === "";
  const way = descending ? -1 : 1;
  return places.sort((a, b) => {
    const [left, right] = [at(a), at(b)];
    if (left === right) return a - b;
    if (unknown(left) || unknown(right)) return unknown(left) - unknown(right) || a - b;
    return left < right ? -way : way;
  });
}

/** How many features have a density in each interval of a logarithmic scale, and how many never fire. */
export function densityBins(density, perDecade = 5) {
  const lowest = density.reduce((least, d) => (d > 0 && d < least ? d : least), 1);
  const first = Math.floor(Math.log10(lowest));
  const counts = new Array(Math.max(-first, 1) * perDecade).fill(0);
  let silent = 0;
  for (const d of density) {
    if (d > 0)
      counts[Math.max(0, Math.min(Math.floor((Math.log10(d) - first) * perDecade + 1e-9), counts.length - 1))] += 1;
    else silent += 1;
  }
  return { counts, silent, edge: (bin) => 10 ** (first + bin / perDecade), first, perDecade };
}

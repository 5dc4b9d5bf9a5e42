/** Which feature comes before and after which: by number, or in the order of the table that the reader came from. */

import { shownInFull } from "./store.js";

let list = null;
let listAddress = null;

/** From now on, features follow one another as in a list, which is at an address. */
export function follow(features, at) {
  list = features;
  listAddress = at;
}

/** The neighbours of a feature, and its place in the list, if it is in one. */
export function neighbours(feature, width) {
  const place = list ? list.indexOf(feature) : -1;
  if (place >= 0) return { ...beside(list, place), place, of: list.length, list: listAddress };
  if (!shownInFull)
    return { before: feature > 0 ? feature - 1 : null, after: feature + 1 < width ? feature + 1 : null };
  const own = shownInFull.indexOf(feature);
  return own >= 0 ? { ...beside(shownInFull, own), place: own, of: shownInFull.length } : { before: null, after: null };
}

function beside(features, place) {
  return { before: features[place - 1] ?? null, after: features[place + 1] ?? null };
}

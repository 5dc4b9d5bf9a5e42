/** Addresses within the page, `#/feature/12?shade=total`, and where a reader had scrolled to at each. */

import { settled } from "./dom.js";

/** The address as it is: parts of its path, and its query. */
export function here() {
  const [, path, query] = /^#?\/?([^?]*)\??(.*)$/s.exec(location.hash);
  return { parts: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** An address; what is empty in the query is left out. */
export function address(parts, query = {}) {
  const entries = [...(query instanceof URLSearchParams ? query : Object.entries(query))];
  const kept = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(kept).toString();
  return `#/${parts.map((part) => encodeURIComponent(part)).join("/")}${text ? `?${text}` : ""}`;
}

/** Goes to an address; Back returns. */
export function go(to) {
  location.hash = to;
}

/** Changes the address without going anywhere: what is shown already shows it. */
export function amend(to) {
  history.replaceState(history.state, "", to);
}

/** How far each of the page's scrollers had been scrolled when the reader last left this entry of the history. */
export function scrolled() {
  return history.state?.scrolled ?? null;
}

/** Notes how far the view is scrolled, with this entry of the history. */
export function noteScrolled(top) {
  keepScrolled(location.hash, top);
}

const keepScrolled = settled(150, (at, top) => {
  if (at === location.hash) history.replaceState({ ...history.state, scrolled: top }, "");
});

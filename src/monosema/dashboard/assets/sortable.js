/** The head of a column by which a table is sorted. */

import { h } from "./dom.js";
import { explain } from "./tooltip.js";

/** What stands above, and the head's attributes; `state` is `{sort, descending}`. */
export function sortHead(name, label, meaning, state, sortBy) {
  const order = state.sort !== name ? "none" : state.descending ? "descending" : "ascending";
  const sign = { none: "", descending: "↓", ascending: "↑" }[order];
  const arrow = h("span", { class: "arrow", "aria-hidden": "true" }, sign);
  const button = h("button", { type: "button", class: "sort", onclick: () => sortBy(name) }, label, arrow);
  return { head: explain(button, () => meaning), aria: { "aria-sort": order } };
}

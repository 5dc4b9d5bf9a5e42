/** What has been said of a feature in words. */

import { h } from "./dom.js";
import { value } from "./numbers.js";

/** A line for each description, with what wrote it and how well it tells where the feature fires. */
export function describedBy({ descriptions }) {
  return descriptions.map(({ text, method, score }) =>
    h("p", { class: "note" }, h("strong", {}, text), ` (${method}, detection ${value(score)})`),
  );
}

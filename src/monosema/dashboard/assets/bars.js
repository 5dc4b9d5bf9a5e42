/** Short lists in which a bar behind each entry says how large it is. */

import { h } from "./dom.js";
import { signed, value } from "./numbers.js";
import { chip } from "./text.js";
import { explain } from "./tooltip.js";

/** A list: `entries` are `{label, amount, href?, tip?}`; bars are as long as their amount is to the largest. */
export function bars(entries, { kind = "plus", sign = false, most = null, label = null } = {}) {
  const scale = most ?? entries.reduce((largest, entry) => Math.max(largest, Math.abs(entry.amount)), 0);
  const items = entries.map(({ label: text, amount, href, tip }) => {
    const inside = [
      h("span", { class: "what" }, text),
      h("span", { class: "amount" }, (sign ? signed : value)(amount)),
    ];
    const row = href ? h("a", { href }, inside) : h("span", {}, inside);
    const item = h("li", { class: kind, "--part": scale > 0 ? Math.min(Math.abs(amount) / scale, 1) : 0 }, row);
    return tip ? explain(item, tip) : item;
  });
  return h("ol", { class: "bars", "aria-label": label }, items);
}

/** Tokens with the most positive and the most negative values, side by side. */
export function poles(top, bottom, names) {
  const most = Math.max(...[...top, ...bottom].map(([, v]) => Math.abs(v)), 0);
  const list = (entries, kind, name) =>
    h(
      "div",
      {},
      h("h3", {}, name),
      entries.length
        ? bars(
            entries.map(([text, amount]) => ({ label: chip(text), amount })),
            { kind, sign: true, most },
          )
        : "–",
    );
  return h("div", { class: "poles" }, list(top, "plus", names[0]), list(bottom, "minus", names[1]));
}

/** What leads from a feature to the one before and the one after, to the list, and to steering by it. */

import { h } from "./dom.js";
import { count } from "./numbers.js";

/** The element; `steered` is the address of steering, or null. */
export function stepper(beside, { before, after }, steered) {
  const button = (label, act, to) =>
    h(
      "button",
      { type: "button", onclick: act, disabled: to === null, "aria-label": label, title: label },
      label === "Previous feature" ? "←" : "→",
    );
  const place = beside.of && `${count(beside.place + 1)} of ${count(beside.of)}`;
  const where = beside.list ? h("a", { href: beside.list }, `${place} listed`) : place && h("span", {}, place);
  return h(
    "nav",
    { class: "stepper", "aria-label": "Features" },
    steered && h("a", { href: steered, class: "act", title: "Steer the model by this feature (s)" }, "Steer"),
    where,
    button("Previous feature", before, beside.before),
    button("Next feature", after, beside.after),
  );
}

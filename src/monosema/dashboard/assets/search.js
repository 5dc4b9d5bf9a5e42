/** The field of the bar in which one searches: a number leads to a feature, text to the table. */

import { h, settled } from "./dom.js";
import { address, go } from "./router.js";

let sought = null;
const field = h("input", {
  type: "search",
  id: "search",
  placeholder: "token or number",
  "aria-label": "Search features by token, or go to a number",
  autocomplete: "off",
  spellcheck: "false",
});

/** The field. */
export function searchForm(width) {
  const submit = (event) => {
    event.preventDefault();
    const text = field.value;
    if (/^\d+$/.test(text.trim()) && Number(text) < width) go(address(["feature", Number(text)]));
    else if (sought) sought(text);
    else go(address(["features"], { text }));
  };
  const soon = settled(200, () => sought && !/^\d+$/.test(field.value.trim()) && sought(field.value));
  field.addEventListener("input", soon);
  field.addEventListener("keydown", (event) => event.key === "Escape" && field.blur());
  return h("form", { role: "search", onsubmit: submit }, field);
}

/** What the view that is shown does with text as it is typed; null if nothing. */
export function searching(act) {
  sought = act ?? null;
}

export function setSearchText(text) {
  if (field.value !== text && field !== document.activeElement) field.value = text;
}

export function focusSearch() {
  field.focus();
  field.select();
}

/** What the table of features is narrowed with: density, head, text. */

import { densityChart } from "./density.js";
import { h } from "./dom.js";
import { filtered } from "./filters.js";
import { count } from "./numbers.js";
import { setSearchText } from "./search.js";
import { shownInFull } from "./store.js";

/** The element; `update(rows)` after each change; `trying(act)` shows that it works, or why it failed. */
export function controls(overview, state, change) {
  const chart = densityChart(overview.columns.density, (from, to) => change({ from, to }));
  const status = h("p", { class: "status", role: "status" });
  const [from, to] = ["from", "to"].map((name) => bound(name, change));
  const heads = overview.heads && overview.columns.head ? headChoice(overview.heads, change) : null;
  const some = shownInFull && someChoice(state, change);
  const clear = h(
    "button",
    { type: "button", onclick: () => change({ from: null, to: null, head: null, text: "" }) },
    "Clear",
  );
  const range = h("span", { class: "range" }, "density ", from, " to ", to, " %");
  const element = h(
    "div",
    { class: "controls" },
    chart.element,
    h("div", { class: "fields" }, range, heads, some, status, clear),
  );
  const update = (rows) => {
    chart.show(state.from, state.to);
    from.value = state.from === null ? "" : Number((state.from * 100).toPrecision(4));
    to.value = state.to === null ? "" : Number((state.to * 100).toPrecision(4));
    if (heads) heads.querySelector("select").value = state.head ?? "";
    setSearchText(state.text);
    clear.hidden = !filtered(state);
    status.textContent = told(rows, overview.width, state.text);
  };
  return { element, update, trying: (act) => trying(act, status) };
}

function told(rows, width, text) {
  const having = text ? ` with “${text}”` : "";
  return rows === width ? `all ${count(width)} features` : `${count(rows)} of ${count(width)} features${having}`;
}

async function trying(act, status) {
  status.textContent = "searching …";
  try {
    return await act();
  } catch (error) {
    status.textContent = error.message;
    return false;
  }
}

function bound(name, change) {
  const label = name === "from" ? "Lowest density in percent" : "Highest density in percent";
  const onchange = (event) => change({ [name]: shareOf(event.target.value) });
  return h("input", { type: "number", min: 0, max: 100, step: "any", "aria-label": label, onchange });
}

function shareOf(text) {
  const share = Number(text) / 100;
  return text === "" || !(share >= 0 && share <= 1) ? null : share;
}

function headChoice(heads, change) {
  const choices = Array.from({ length: heads }, (_, head) => h("option", { value: head }, `head ${head}`));
  const onchange = (event) => change({ head: event.target.value === "" ? null : Number(event.target.value) });
  return h(
    "label",
    {},
    h("span", { class: "away" }, "Head"),
    h("select", { onchange }, h("option", { value: "" }, "any head"), choices),
  );
}

function someChoice(state, change) {
  const onchange = (event) => change({ some: event.target.checked });
  return h(
    "label",
    {},
    h("input", { type: "checkbox", checked: state.some, onchange }),
    "only those with examples in this file",
  );
}

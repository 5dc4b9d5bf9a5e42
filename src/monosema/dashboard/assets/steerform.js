/** Where a prompt is typed, and features are chosen with what is done to them. */

import { h } from "./dom.js";
import { MODES, MOST, usual } from "./steers.js";
import { chip } from "./text.js";
import { explain } from "./tooltip.js";

/** The form. `write` gets what is asked for, `{prompt, steers, tokens, temperature, seed}`; `asked()` tells it, too. */
export function steerForm(given, overview, write) {
  const area = h("textarea", { rows: 3, "aria-label": "Prompt", placeholder: "Text to go on from", spellcheck: "false" });
  area.value = given.prompt;
  const list = h("ol", { class: "steers" });
  const rows = [];
  const count = () => {
    more.disabled = rows.length >= MOST;
    for (const row of rows) row.remove.disabled = rows.length === 1;
  };
  const add = (steer) => {
    const row = steerRow(steer, overview, () => {
      rows.splice(rows.indexOf(row), 1);
      row.element.remove();
      count();
    });
    rows.push(row);
    list.append(row.element);
    count();
    return row;
  };
  const more = h("button", { type: "button", onclick: () => add(null).focus() }, "Add a feature");
  for (const steer of given.steers.length ? given.steers : [null]) add(steer);
  const numbers = {
    tokens: number("tokens", { min: 1, max: 200, step: 1, value: given.tokens }),
    temperature: number("temperature", { min: 0, max: 100, step: "any", value: given.temperature }),
    seed: number("seed", { min: 0, max: 1e9, step: 1, value: given.seed }),
  };
  const asked = () => ({
    prompt: area.value,
    steers: rows.map((row) => row.steer()),
    ...Object.fromEntries(Object.entries(numbers).map(([name, { input }]) => [name, Number(input.value)])),
  });
  const onsubmit = (event) => {
    event.preventDefault();
    if (!area.value) area.focus();
    else if (form.reportValidity()) write(asked());
  };
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) onsubmit(event);
  });
  const fields = Object.values(numbers).map(({ label }) => label);
  const acts = [h("button", { class: "main" }, "Write"), h("span", { class: "note" }, "or Ctrl Enter")];
  const form = h(
    "form",
    { class: "prompt steer", onsubmit },
    area,
    list,
    h("div", { class: "line" }, more, fields),
    h("div", {}, acts),
  );
  const check = () => form.reportValidity();
  return { form, area, asked, check };
}

function number(name, attributes) {
  const input = h("input", { type: "number", required: true, ...attributes });
  return { input, label: h("label", {}, `${name} `, input) };
}

/** One feature, and what is done to it. */
function steerRow(steer, overview, removed) {
  const { width, columns } = overview;
  const bounds = { min: 0, max: width - 1, step: 1, placeholder: "number" };
  const feature = h("input", { type: "number", required: true, "aria-label": "Feature", ...bounds });
  const options = Object.entries(MODES).map(([name, { label }]) => h("option", { value: name }, label));
  const mode = h("select", { "aria-label": "What is done to it" }, options);
  const amount = h("input", { type: "number", required: true, step: "any" });
  const about = h("span", { class: "about soft" });
  const known = () => feature.value !== "" && feature.validity.valid;
  const update = () => {
    const { amount: name, meaning } = MODES[mode.value];
    amount.hidden = name === null;
    amount.disabled = name === null;
    amount.setAttribute("aria-label", name ?? "none");
    explain(mode, () => meaning);
    const token = known() ? columns.token[Number(feature.value)] : null;
    about.replaceChildren(...(token ? [chip(token)] : []), ...(known() ? [` at most ${usual(Number(feature.value), overview)}`] : []));
  };
  feature.addEventListener("input", () => {
    if (known() && mode.value !== "scale") amount.value = usual(Number(feature.value), overview);
    update();
  });
  mode.addEventListener("change", () => {
    if (mode.value === "scale") amount.value = 2;
    else if (known()) amount.value = usual(Number(feature.value), overview);
    update();
  });
  if (steer) {
    [feature.value, mode.value, amount.value] = [steer.feature, steer.mode, steer.value];
  }
  update();
  const remove = h("button", { type: "button", class: "quiet", "aria-label": "Remove", title: "Remove", onclick: removed }, "✕");
  return {
    element: h("li", {}, feature, mode, amount, remove, about),
    remove,
    focus: () => feature.focus(),
    steer: () => ({ feature: Number(feature.value), mode: mode.value, value: amount.disabled ? 0 : Number(amount.value) }),
  };
}

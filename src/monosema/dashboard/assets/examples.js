/** A feature's examples, group by group, and the switches for how they are shown. */

import { h } from "./dom.js";
import { exampleItem } from "./example.js";
import { count, percent, value } from "./numbers.js";
import { MODES, modesOf, shades } from "./shading.js";
import { remember, remembered } from "./theme.js";
import { hint } from "./tooltip.js";

/** The element, and what brings a group into sight. `chosen` is called with the name of the mode that is chosen. */
export function exampleGroups(feature, { mode: wanted, chosen }) {
  const modes = modesOf(feature.groups);
  const state = { mode: modes.includes(wanted) ? wanted : "activation" };
  for (const name of ["near", "lines"]) state[name] = remembered(name, "no") === "yes";
  const note = h("p", { class: "note" });
  const place = h("div", {});
  const fill = () => {
    const looks = { ...state, feature, shades: shades(state.mode, feature) };
    note.replaceChildren(MODES[state.mode].note);
    place.classList.toggle("lines", state.lines);
    place.replaceChildren(...feature.groups.map((group, i) => groupSection(group, i, looks)));
  };
  const change = (name, choice) => {
    state[name] = choice;
    if (name === "mode") chosen(choice);
    else remember(name, choice ? "yes" : "no");
    fill();
  };
  fill();
  const element = h("section", { class: "examples" }, switches(modes, state, change), note, place);
  return { element, reveal: (i) => place.children[i].scrollIntoView({ block: "start" }) };
}

function groupSection(group, i, looks) {
  const { low, high, share } = group;
  const figures = [
    low !== null && high !== null && `${value(low)} to ${value(high)}`,
    share !== null && `${percent(share)} of activations`,
    `${count(group.examples.length)} ${group.examples.length === 1 ? "example" : "examples"}`,
  ];
  const title = group.note ? hint(group.title, group.note) : group.title;
  const number = h("span", { class: "number" }, String(i + 1));
  return h(
    "section",
    { class: "group" },
    h("h2", {}, number, title, h("small", {}, figures.filter(Boolean).join(" · "))),
    h(
      "ol",
      {},
      group.examples.map((example) => exampleItem(example, looks)),
    ),
  );
}

let switchNumber = 0;

function switches(modes, state, change) {
  switchNumber += 1;
  const radio = (name) => {
    const input = { type: "radio", name: `shade-${switchNumber}`, value: name, checked: name === state.mode };
    return h("label", {}, h("input", { ...input, onchange: () => change("mode", name) }), MODES[name].label);
  };
  const box = (name, label, meaning) => {
    const input = { type: "checkbox", checked: state[name], onchange: (event) => change(name, event.target.checked) };
    return h("label", {}, h("input", input), hint(label, meaning));
  };
  return h(
    "div",
    { class: "switches" },
    modes.length > 1 && h("fieldset", { class: "choice" }, h("legend", {}, "Shade"), modes.map(radio)),
    box("near", "near only", "Shows a dozen tokens before the strongest, and half a dozen after it"),
    box("lines", "line breaks", "Breaks lines where the text does"),
  );
}

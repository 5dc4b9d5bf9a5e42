/** A text of the reader's: which features fire on which of its tokens. */

import { bars } from "./bars.js";
import { h } from "./dom.js";
import { count, value } from "./numbers.js";
import { address, amend } from "./router.js";
import { promptOf } from "./store.js";
import { shade } from "./shading.js";
import { chip, plain } from "./text.js";
import { tokenRun } from "./tokens.js";
import { explain } from "./tooltip.js";

const LONGEST = 1500; // characters that an address may hold
const SHOWN = 40; // features of a token

/** The view at `#/prompt?text=…&token=3`. */
export async function promptView({ query }, overview) {
  if (!overview.live) {
    throw new Error("Prompts need a model, which this page has none of. A page that is served with one reads them.");
  }
  const result = h("div", { class: "result", "aria-live": "polite" });
  const say = (text, problem = null) => result.replaceChildren(h("p", { class: `message ${problem ?? ""}` }, text));
  const read = async (text) => {
    if (!text) return;
    say("reading …");
    await showRead(text, result, query).catch((error) => {
      say(error.message, "problem");
      result.firstChild.setAttribute("role", "alert");
    });
  };
  const { form, area } = promptForm(query.get("text") ?? "", (text) => {
    query.delete("token");
    read(text);
  });
  return {
    title: "Prompt",
    element: h("div", { class: "view" }, h("h1", {}, "Prompt"), form, result),
    shown: () => (area.value ? read(area.value) : area.focus()),
  };
}

/** Where a text is typed; `read` gets it. */
function promptForm(text, read) {
  const label = "Text for the model to read";
  const area = h("textarea", { rows: 3, "aria-label": label, placeholder: label, spellcheck: "false" });
  area.value = text;
  const onsubmit = (event) => {
    event.preventDefault();
    read(area.value);
  };
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) onsubmit(event);
  });
  const button = h("div", {}, h("button", { class: "main" }, "Read"), h("span", { class: "note" }, "or Ctrl Enter"));
  return { form: h("form", { class: "prompt", onsubmit }, area, button), area };
}

async function showRead(text, result, query) {
  const answer = await promptOf(text);
  const asked = Number(query.get("token") ?? answer.tokens.length - 1);
  const state = { token: Math.max(0, Math.min(Number.isInteger(asked) ? asked : 0, answer.tokens.length - 1)) };
  const side = h("div", {});
  const elements = [];
  const choose = (i) => {
    elements[state.token].removeAttribute("aria-current");
    elements[i].setAttribute("aria-current", "true");
    state.token = i;
    amend(address(["prompt"], { text: text.length > LONGEST ? null : text, token: i }));
    side.replaceChildren(featuresOf(answer, i, (feature) => shadeBy(feature, answer, elements)));
  };
  const make = (element, i) => {
    elements.push(element);
    element.addEventListener("click", () => choose(i));
    element.addEventListener("focus", () => element.matches(":focus-visible") && choose(i));
    explain(element, () => `${plain(answer.tokens[i])} · ${count(answer.active[i].length)} features`);
  };
  const run = tokenRun(answer.tokens, { label: "Tokens of the text", current: state.token, make, active: () => true });
  const note = h(
    "p",
    { class: "note" },
    "Click a token to see which features fire on it; point at a feature to see where it fires.",
  );
  result.replaceChildren(h("div", { class: "read" }, h("div", {}, run, note), side));
  if (answer.tokens.length) choose(state.token);
}

/** The features of one token. Pointing at one shades all tokens by it. */
function featuresOf({ tokens, active, features }, i, shadeAll) {
  const entries = active[i].slice(0, SHOWN).map(([feature, amount]) => {
    const known = features[feature];
    const label = [h("span", { class: "index" }, `${feature}`), known?.token ? chip(known.token) : null];
    const tip = () =>
      `Feature ${feature}: ${value(amount)}${known ? `, at most ${value(known.max)} in the store` : ""}`;
    return { label, amount, href: address(["feature", feature]), tip };
  });
  const list = bars(entries, { kind: "warm", label: "Features by strength" });
  [...list.children].forEach((item, place) => {
    const on = () => shadeAll(active[i][place][0]);
    for (const event of ["pointerenter", "focusin"]) item.addEventListener(event, on);
  });
  if (entries.length) shadeAll(active[i][0][0]);
  else shadeAll(null);
  const more = active[i].length > SHOWN && h("p", { class: "note" }, `and ${count(active[i].length - SHOWN)} weaker`);
  const title = h("h2", {}, chip(tokens[i]), h("small", {}, `token ${i} · ${count(active[i].length)} features`));
  return h(
    "section",
    { class: "panel" },
    title,
    entries.length ? list : h("p", { class: "note" }, "No feature fires here."),
    more,
  );
}

function shadeBy(feature, { active, features }, elements) {
  const values = active.map((own) => own.find(([one]) => one === feature)?.[1] ?? 0);
  const most = Math.max(features[feature]?.max ?? 0, ...values);
  elements.forEach((element, i) => shade(element, most > 0 ? values[i] / most : 0, false));
}

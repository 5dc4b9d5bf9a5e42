/** Steering: what the model writes with and without some features, and what more and more of one does. */

import { doseFigure } from "./dose.js";
import { h } from "./dom.js";
import { address, amend } from "./router.js";
import { dosesOf, steeredText } from "./store.js";
import { steeredPair } from "./steered.js";
import { steerForm } from "./steerform.js";
import { steersOf, usual, written } from "./steers.js";

const LONGEST = 1500; // characters of a prompt that an address may hold
const USUAL = { tokens: 40, temperature: 0, seed: 0 };
const PARTS = [-1, -0.5, 0.5, 1, 2]; // of the largest activation, to be measured

/** The view at `#/steer?steer=12:add:40&prompt=…&sweep=-20,20,40`. */
export async function steerView({ query }, overview) {
  if (!overview.steers) {
    throw new Error("Steering needs a model that writes, which this page has none of. A page that is served with one steers it.");
  }
  const given = { prompt: query.get("prompt") ?? "", steers: steersOf(query, overview.width) };
  for (const [name, usually] of Object.entries(USUAL)) {
    const number = Number(query.get(name) ?? usually);
    given[name] = Number.isFinite(number) && number >= 0 ? number : usually;
  }
  const [texts, doses] = [resultPlace(), resultPlace()];
  let sweep = query.get("sweep");
  const keep = (asked) => amend(addressOf(asked, sweep));
  const write = (asked) => {
    keep(asked);
    return texts.show("writing …", async () => steeredPair(await steeredText(asked)));
  };
  const { form, area, asked, check } = steerForm(given, overview, write);
  const strengths = h("input", { type: "text", "aria-label": "Strengths", placeholder: "strengths, or by themselves", inputmode: "text", value: sweep });
  const measure = () => {
    if (!check()) return null;
    const { steers } = asked();
    const [{ feature }] = steers;
    const chosen = numbersOf(strengths.value) ?? PARTS.map((part) => part * usual(feature, overview));
    strengths.value = chosen.map((one) => Number(one.toPrecision(3))).join(", ");
    sweep = strengths.value.replaceAll(" ", "");
    keep(asked());
    return doses.show("measuring …", async () => doseFigure(await dosesOf(feature, chosen)));
  };
  const onsubmit = (event) => {
    event.preventDefault();
    measure();
  };
  const dose = h("form", { class: "line", onsubmit }, strengths, h("button", {}, "Measure"), h("span", { class: "note" }, NOTE));
  return {
    title: "Steer",
    element: h("div", { class: "view steering" }, h("h1", {}, "Steer"), form, texts.element, h("h2", {}, "Dose and response"), dose, doses.element),
    shown: async () => {
      if (given.prompt && given.steers.length) await write(asked());
      else if (given.prompt) form.querySelector("input").focus();
      else area.focus();
      if (sweep !== null && given.steers.length) await measure();
    },
  };
}

const NOTE = "Of the first feature: its tokens and the loss at several strengths, beside random directions.";

/** The numbers that a text lists; null if it lists none. */
function numbersOf(text) {
  const parts = text.split(/[\s,;]+/).filter(Boolean).map((part) => Number(part.replace("−", "-")));
  return parts.length && parts.every(Number.isFinite) ? parts : null;
}

function addressOf({ prompt, steers, ...numbers }, sweep) {
  const query = new URLSearchParams(steers.map((steer) => ["steer", written(steer)]));
  for (const [name, number] of Object.entries(numbers)) if (number !== USUAL[name]) query.set(name, number);
  if (prompt.length <= LONGEST) query.set("prompt", prompt);
  if (sweep !== null) query.set("sweep", sweep);
  return address(["steer"], query);
}

/** Where an answer is shown; of several that are asked for, the last. */
function resultPlace() {
  const element = h("div", { class: "result", "aria-live": "polite" });
  let turn = 0;
  const show = async (waiting, ask) => {
    turn += 1;
    const own = turn;
    element.replaceChildren(h("p", { class: "message" }, waiting));
    const found = await ask().catch((error) => h("p", { class: "message problem", role: "alert" }, error.message));
    if (own === turn) element.replaceChildren(found);
  };
  return { element, show };
}

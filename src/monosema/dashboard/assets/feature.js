/** A feature: its figures, and its examples. */

import { h } from "./dom.js";
import { exampleGroups } from "./examples.js";
import { histogram } from "./histogram.js";
import { count, oneIn, percent, value } from "./numbers.js";
import { headsPanel, logitsPanel, neuronsPanels, readsPanel, relatedPanels } from "./related.js";
import { address, amend, go, here } from "./router.js";
import { neighbours } from "./sequence.js";
import { effectsOf, featureOf, inFull, served, shownInFull } from "./store.js";
import { steerAddress } from "./steers.js";
import { stepper } from "./stepper.js";
import { chip } from "./text.js";
import { explain, hint } from "./tooltip.js";
import { describedBy } from "./words.js";

/** The view at `#/feature/12`. */
export async function featureView({ parts, query }, overview) {
  const index = Number(parts[1]);
  if (!/^\d+$/.test(parts[1] ?? "") || index >= overview.width) {
    throw new Error(`There is no feature ${parts[1] ?? ""}; there are 0 to ${overview.width - 1}.`);
  }
  const { columns } = overview;
  const beside = neighbours(index, overview.width);
  const to = (feature) => feature !== null && go(address(["feature", feature], { shade: here().query.get("shade") }));
  const moves = { before: () => to(beside.before), after: () => to(beside.after) };
  const feature = inFull(index) ? await featureOf(index) : null;
  const later = served && overview.effects ? () => effectsOf(index) : null;
  const steered = overview.steers ? steerAddress(index, overview) : null;
  const title = h("h1", {}, h("span", { class: "soft" }, "Feature "), `${index}`, chipOf(columns.token[index]));
  const body = feature
    ? featureArticle(feature, { columns, linked: true, mode: query.get("shade"), chosen: amendShade, later })
    : onlyARow(index, overview);
  const { before, after } = moves;
  return {
    title: `Feature ${index}`,
    element: h("div", { class: "view" }, h("div", { class: "top" }, title, stepper(beside, moves, steered)), body),
    keys: { ArrowLeft: before, k: before, ArrowRight: after, j: after, ...(steered ? { s: () => go(steered) } : {}) },
  };
}

function amendShade(mode) {
  const { parts, query } = here();
  if (mode === "activation") query.delete("shade");
  else query.set("shade", mode);
  amend(address(parts, query));
}

function chipOf(token) {
  return token
    ? explain(h("span", { class: "token-of" }, chip(token)), () => "The token that it is strongest on")
    : null;
}

/** All that is known of a feature, as wide as the place that it is put in. */
export function featureArticle(feature, { columns, linked = false, mode = null, chosen = () => {}, later = null }) {
  let examples = exampleGroups(feature, { mode, chosen });
  if (later) {
    whenLookedAt(examples.element, later, (groups) => {
      const fuller = exampleGroups({ ...feature, groups }, { mode: here().query.get("shade"), chosen });
      examples.element.replaceWith(fuller.element);
      examples = fuller;
    });
  }
  const figures = [histogram(feature, (i) => examples.reveal(i)), logitsPanel(feature), readsPanel(feature)];
  const more = [headsPanel(feature), relatedPanels(feature, columns, linked), neuronsPanels(feature)];
  const silent = `It never fires on the store's ${count(feature.tokens)} tokens.`;
  const without = h("p", { class: "message" }, feature.activations ? "There are no examples of it." : silent);
  return h(
    "article",
    { class: "feature" },
    figuresOf(feature),
    describedBy(feature),
    h(
      "div",
      { class: "sides" },
      h("div", { class: "side" }, figures),
      h("div", { class: "centre" }, feature.groups.length ? examples.element : without),
      h("div", { class: "side" }, more),
    ),
  );
}

const PAUSE = 250; // milliseconds that a feature is looked at before the model is run for it

/** Asks for what takes long, once the element has been in the page for a moment, and hands it on if it still is. */
function whenLookedAt(element, ask, then) {
  setTimeout(async () => {
    if (!element.isConnected) return;
    const found = await ask().catch((error) => error);
    if (!element.isConnected) return;
    if (found instanceof Error) element.append(h("p", { class: "message" }, found.message));
    else then(found);
  }, PAUSE);
}

function figuresOf({ density, activations, tokens, mean, max }) {
  return facts([
    [hint("Density", "Share of the store's tokens on which the feature fires"), `${percent(density)}`, oneIn(density)],
    [hint("Activations", "Tokens on which it fires"), count(activations), `of ${count(tokens)} tokens`],
    [hint("Mean", "Where it fires"), value(mean)],
    [hint("Max", "Its strongest activation in the store"), value(max)],
  ]);
}

function facts(entries) {
  return h(
    "dl",
    { class: "figures" },
    entries.map(([term, text, more]) =>
      h("div", {}, h("dt", {}, term), h("dd", {}, text, more && h("small", {}, more))),
    ),
  );
}

/** What the table of all features says of one that the page has no more of. */
function onlyARow(i, { columns, tokens, width }) {
  const density = columns.density[i];
  const figures = {
    density,
    activations: Math.round(density * tokens),
    tokens,
    mean: columns.mean[i],
    max: columns.max[i],
  };
  const held = `${count(shownInFull?.length ?? 0)} of ${count(width)} features`;
  const some = `This file holds the examples of ${held}; this one is not among them.`;
  return h(
    "div",
    {},
    figuresOf(figures),
    h("p", { class: "message" }, served ? "" : `${some} A served page shows every feature.`),
  );
}

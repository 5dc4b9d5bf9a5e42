/** What stands below the picture: of one node what feeds it and what it feeds; else the features that matter most. */

import { h } from "./dom.js";
import { plain } from "./text.js";
import { count, percent, signed, value } from "./numbers.js";
import { named } from "./graph.js";
import { SHOWN } from "./picture.js";

const KINDS = { feature: "feature", error: "what is missed", embedding: "token", logit: "prediction" };

function entry(graph, node, part, size, choose, minus = false) {
  return h("li", {}, h("button", { type: "button", class: "entry", onclick: () => choose(node) },
    h("span", { class: minus ? "part minus" : "part", "--part": part }),
    h("span", { class: "size" }, size), h("span", { class: "what" }, named(graph, node)),
    h("span", { class: "soft" }, node.kind === "feature" && node.label ? plain(node.label) : "")));
}

function entries(graph, title, found, choose) {
  const largest = Math.max(1e-9, ...found.map(({ weight }) => Math.abs(weight)));
  const rows = found.slice(0, SHOWN).map(({ node, weight }) => entry(graph, node, Math.abs(weight) / largest, signed(weight), choose, weight < 0));
  const many = found.length > SHOWN ? `the largest ${SHOWN} of ${count(found.length)}` : count(found.length);
  return h("section", {}, h("h2", {}, title, h("small", {}, many)), h("ol", { class: "entries" }, rows));
}

function ofAll(graph, choose) {
  const features = graph.nodes.filter((node) => node.kind === "feature").sort((a, b) => b.influence - a.influence);
  const rows = features.slice(0, SHOWN).map((node) => entry(graph, node, node.influence / features[0].influence, percent(node.influence), choose));
  return [
    h("p", { class: "note" }, "Each mark is a feature (circle), what a dictionary misses (diamond), a token or a prediction (square); its size is its influence on the predictions. Choose one to see what feeds it, and what it feeds. Solid arrows add, dashed ones take away."),
    h("section", {}, h("h2", {}, "Features with the most influence"), h("ol", { class: "entries" }, rows)),
  ];
}

/** The lists of a node, or of none. */
export function about(graph, chosen, choose) {
  if (!chosen) return ofAll(graph, choose);
  const facts = [KINDS[chosen.kind], `influence ${percent(chosen.influence)}`];
  if (chosen.kind === "feature") facts.push(`code ${value(chosen.value)}`, `makes likelier: ${plain(chosen.label)}`);
  return [
    h("section", { class: "head" }, h("h1", {}, named(graph, chosen)), h("p", { class: "soft" }, facts.join(" · ")), h("button", { type: "button", onclick: () => choose(null) }, "back to all (Esc)")),
    entries(graph, "What feeds it", chosen.into, choose),
    entries(graph, "What it feeds", chosen.from, choose),
  ];
}

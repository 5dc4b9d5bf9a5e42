/** The picture of an attribution graph: layers upwards, tokens from left to right, what feeds what. */

import { h, s } from "./dom.js";
import { plain } from "./text.js";
import { ROW, TOP, named, placed } from "./graph.js";

const NAMES_WIDTH = 84;
export const SHOWN = 40; // arrows and entries of lists of one node

function rowName(graph, layer) {
  if (layer < 0) return "tokens";
  return layer === graph.layers ? "predictions" : `layer ${layer}`;
}

function shape(graph, node, { choose, hover }) {
  const size = 3.5 + 5 * Math.sqrt(Math.min(1, node.influence * 12));
  const about = { class: `node ${node.kind}`, tabindex: 0, role: "button", "aria-label": named(graph, node), "data-node": node.number };
  const act = { onclick: () => choose(node), onfocus: () => hover(node), onblur: () => hover(null), onmouseenter: () => hover(node), onmouseleave: () => hover(null) };
  const title = s("title", {}, `${named(graph, node)}\n${node.label ? plain(node.label) : ""}`);
  const at = `translate(${node.x} ${node.y})`;
  if (node.kind === "error") return s("path", { ...about, ...act, transform: at, d: `M0 ${-size}L${size} 0L0 ${size}L${-size} 0Z` }, title);
  if (node.kind === "feature") return s("circle", { ...about, ...act, transform: at, r: size }, title);
  return s("rect", { ...about, ...act, transform: at, x: -size, y: -size, width: 2 * size, height: 2 * size, rx: 2 }, title);
}

function arrow(source, target, weight, largest) {
  const bend = (source.y - target.y) / 2;
  return s("path", {
    class: weight < 0 ? "edge minus" : "edge plus",
    d: `M${source.x} ${source.y}C${source.x} ${source.y - bend} ${target.x} ${target.y + bend} ${target.x} ${target.y}`,
    "stroke-width": (0.6 + 4.4 * Math.abs(weight) / largest).toFixed(2),
  });
}

/** Arrows of one node; of none, the largest of all. */
function arrows(graph, chosen, shown) {
  const there = new Set(shown);
  let found;
  if (chosen) {
    found = [...chosen.into.slice(0, SHOWN).map(({ node, weight }) => [node, chosen, weight]), ...chosen.from.slice(0, SHOWN).map(({ node, weight }) => [chosen, node, weight])];
  } else {
    found = graph.edges.slice(0, 3 * SHOWN).map(([source, target, weight]) => [graph.nodes[source], graph.nodes[target], weight]);
  }
  found = found.filter(([source, target]) => there.has(source) && there.has(target));
  const largest = Math.max(1e-9, ...found.map(([, , weight]) => Math.abs(weight)));
  return found.map(([source, target, weight]) => arrow(source, target, weight, largest));
}

/** The picture; `act` has `choose` and `hover`, which are told of nodes. */
export function drawing(graph, chosen, share, act) {
  const { shown, starts, widths, width, height } = placed(graph, share);
  const rows = [];
  const names = [];
  for (let layer = -1; layer <= graph.layers; layer += 1) {
    const y = TOP + ROW * (graph.layers - layer);
    rows.push(s("line", { class: "row", x1: 0, x2: width, y1: y, y2: y }));
    names.push(s("text", { class: "rowname", x: NAMES_WIDTH - 8, y: y + 4 }, rowName(graph, layer)));
  }
  const tokens = graph.tokens.map((token, i) => {
    const text = plain(token);
    const short = text.length > 14 ? `${text.slice(0, 13)}…` : text;
    return s("text", { class: "token", x: starts[i] + widths[i] / 2, y: height - 22 }, short || "·", s("title", {}, `${text} (${i})`));
  });
  const near = chosen ? new Set([chosen, ...chosen.into.map((e) => e.node), ...chosen.from.map((e) => e.node)]) : null;
  const marks = shown.map((node) => {
    const mark = shape(graph, node, act);
    if (node === chosen) mark.classList.add("chosen");
    if (near && !near.has(node)) mark.classList.add("far");
    return mark;
  });
  const picture = s("svg", { class: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Attribution graph" }, rows, s("g", {}, arrows(graph, chosen, shown)), marks, tokens);
  const left = s("svg", { class: "graph names", width: NAMES_WIDTH, height, "aria-hidden": "true" }, names);
  return h("div", { class: "canvas", tabindex: -1 }, left, picture);
}

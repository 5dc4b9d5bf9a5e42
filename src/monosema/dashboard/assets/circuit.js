/** The page of an attribution graph: layers upwards, tokens from left to right, what feeds what. */

import { h, s } from "./dom.js";
import { plain } from "./text.js";
import { count, percent, signed, value } from "./numbers.js";
import { themeButton } from "./theme.js";

const ROW = 62;
const STEP = 17;
const LEFT = 16;
const NAMES_WIDTH = 84;
const TOP = 34;
const SHOWN = 40; // arrows and entries of lists of one node
const KINDS = { feature: "feature", error: "what is missed", embedding: "token", logit: "prediction" };
const NAMES = { "-1": "tokens" };

const data = JSON.parse(document.getElementById("data").textContent);
const nodes = data.nodes.map((node, number) => ({ ...node, number, into: [], from: [] }));
for (const [source, target, weight] of data.edges) {
  nodes[target].into.push({ node: nodes[source], weight });
  nodes[source].from.push({ node: nodes[target], weight });
}
for (const node of nodes) {
  node.into.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
  node.from.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
}
let chosen = null;
let share = 1;

function rowName(layer) {
  return layer === data.layers ? "predictions" : NAMES[layer] ?? `layer ${layer}`;
}

/** What a node is called in one line. */
function named(node) {
  const where = `“${plain(data.tokens[node.position])}” (${node.position})`;
  if (node.kind === "feature") return `${node.name} ${node.index} at ${where}`;
  if (node.kind === "error") return `missed at ${node.name}, ${where}`;
  if (node.kind === "embedding") return `token ${where}`;
  return `“${plain(node.label)}”, ${percent(node.value)}`;
}

/** Nodes that are shown, by place: in each column as many side by side as the fullest of its cells has. */
function placed() {
  const shown = nodes.filter((node) => node.rank <= share || node.kind === "embedding" || node.kind === "logit");
  const cells = new Map();
  for (const node of shown) {
    const key = `${node.position} ${node.layer}`;
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(node);
  }
  const widths = data.tokens.map((token) => Math.max(STEP * 2, 7.2 * Math.min(plain(token).length, 14) + 10));
  for (const cell of cells.values()) {
    cell.sort((a, b) => b.influence - a.influence);
    const at = cell[0].position;
    widths[at] = Math.max(widths[at], STEP * (cell.length + 1));
  }
  const starts = [];
  let x = LEFT;
  for (const width of widths) {
    starts.push(x);
    x += width;
  }
  for (const cell of cells.values()) {
    const middle = starts[cell[0].position] + widths[cell[0].position] / 2;
    cell.forEach((node, i) => {
      node.x = middle + STEP * (i - (cell.length - 1) / 2);
      node.y = TOP + ROW * (data.layers - node.layer);
    });
  }
  return { shown, starts, widths, width: x + 12, height: TOP + ROW * (data.layers + 1) + 46 };
}

function shape(node) {
  const size = 3.5 + 5 * Math.sqrt(Math.min(1, node.influence * 12));
  const about = { class: `node ${node.kind}`, tabindex: 0, role: "button", "aria-label": named(node), "data-node": node.number };
  const act = { onclick: () => choose(node), onfocus: () => hover(node), onblur: () => hover(null), onmouseenter: () => hover(node), onmouseleave: () => hover(null) };
  const title = s("title", {}, `${named(node)}\n${node.label ? plain(node.label) : ""}`);
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
function arrows(shown) {
  const there = new Set(shown);
  let found;
  if (chosen) {
    found = [...chosen.into.slice(0, SHOWN).map(({ node, weight }) => [node, chosen, weight]), ...chosen.from.slice(0, SHOWN).map(({ node, weight }) => [chosen, node, weight])];
  } else {
    found = data.edges.slice(0, 3 * SHOWN).map(([source, target, weight]) => [nodes[source], nodes[target], weight]);
  }
  found = found.filter(([source, target]) => there.has(source) && there.has(target));
  const largest = Math.max(1e-9, ...found.map(([, , weight]) => Math.abs(weight)));
  return found.map(([source, target, weight]) => arrow(source, target, weight, largest));
}

function drawing() {
  const { shown, starts, widths, width, height } = placed();
  const rows = [];
  const names = [];
  for (let layer = -1; layer <= data.layers; layer += 1) {
    const y = TOP + ROW * (data.layers - layer);
    rows.push(s("line", { class: "row", x1: 0, x2: width, y1: y, y2: y }));
    names.push(s("text", { class: "rowname", x: NAMES_WIDTH - 8, y: y + 4 }, rowName(layer)));
  }
  const tokens = data.tokens.map((token, i) => {
    const text = plain(token);
    const short = text.length > 14 ? `${text.slice(0, 13)}…` : text;
    return s("text", { class: "token", x: starts[i] + widths[i] / 2, y: height - 22 }, short || "·", s("title", {}, `${text} (${i})`));
  });
  const near = chosen ? new Set([chosen, ...chosen.into.map((e) => e.node), ...chosen.from.map((e) => e.node)]) : null;
  const marks = shown.map((node) => {
    const mark = shape(node);
    if (node === chosen) mark.classList.add("chosen");
    if (near && !near.has(node)) mark.classList.add("far");
    return mark;
  });
  const picture = s("svg", { class: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Attribution graph" }, rows, s("g", {}, arrows(shown)), marks, tokens);
  const left = s("svg", { class: "graph names", width: NAMES_WIDTH, height, "aria-hidden": "true" }, names);
  return h("div", { class: "canvas", tabindex: -1 }, left, picture);
}

function entries(title, found) {
  const largest = Math.max(1e-9, ...found.map(({ weight }) => Math.abs(weight)));
  const rows = found.slice(0, SHOWN).map(({ node, weight }) =>
    h("li", {}, h("button", { type: "button", class: "entry", onclick: () => choose(node) },
      h("span", { class: weight < 0 ? "part minus" : "part", "--part": Math.abs(weight) / largest }),
      h("span", { class: "size" }, signed(weight)), h("span", { class: "what" }, named(node)),
      h("span", { class: "soft" }, node.kind === "feature" && node.label ? plain(node.label) : ""))));
  return h("section", {}, h("h2", {}, title, h("small", {}, found.length > SHOWN ? `the largest ${SHOWN} of ${count(found.length)}` : count(found.length))), h("ol", { class: "entries" }, rows));
}

function about() {
  if (!chosen) {
    const features = nodes.filter((node) => node.kind === "feature").sort((a, b) => b.influence - a.influence);
    return [
      h("p", { class: "note" }, "Each mark is a feature (circle), what a dictionary misses (diamond), a token or a prediction (square); its size is its influence on the predictions. Choose one to see what feeds it, and what it feeds. Solid arrows add, dashed ones take away."),
      h("section", {}, h("h2", {}, "Features with the most influence"), h("ol", { class: "entries" }, features.slice(0, SHOWN).map((node) =>
        h("li", {}, h("button", { type: "button", class: "entry", onclick: () => choose(node) }, h("span", { class: "part", "--part": node.influence / features[0].influence }), h("span", { class: "size" }, percent(node.influence)), h("span", { class: "what" }, named(node)), h("span", { class: "soft" }, plain(node.label))))))),
    ];
  }
  const facts = [KINDS[chosen.kind], `influence ${percent(chosen.influence)}`];
  if (chosen.kind === "feature") facts.push(`code ${value(chosen.value)}`, `makes likelier: ${plain(chosen.label)}`);
  return [
    h("section", { class: "head" }, h("h1", {}, named(chosen)), h("p", { class: "soft" }, facts.join(" · ")), h("button", { type: "button", onclick: () => choose(null) }, "back to all (Esc)")),
    entries("What feeds it", chosen.into),
    entries("What it feeds", chosen.from),
  ];
}

function choose(node) {
  chosen = node === chosen ? null : node;
  const hash = chosen ? `#${chosen.number}` : "#";
  if (location.hash !== hash) history.pushState(null, "", hash);
  render();
  const mark = chosen && document.querySelector(`[data-node="${chosen.number}"]`);
  if (mark) mark.focus({ preventScroll: true });
}

function hover(node) {
  const line = document.getElementById("hover");
  line.textContent = node ? `${named(node)}${node.kind === "feature" && node.label ? ` · ${plain(node.label)}` : ""}` : "";
}

/** The next shown node in a direction: the nearest within its half plane. */
function towards(dx, dy) {
  const from = chosen ?? nodes.find((node) => node.kind === "logit");
  let best = null;
  for (const node of nodes) {
    if (node.x === undefined || node === from) continue;
    const ahead = (node.x - from.x) * dx + (node.y - from.y) * dy;
    const aside = Math.abs((node.x - from.x) * dy) + Math.abs((node.y - from.y) * dx);
    if (ahead > 1 && (!best || ahead + 2 * aside < best.cost)) best = { node, cost: ahead + 2 * aside };
  }
  if (best) choose(best.node);
}

function render() {
  const main = document.getElementById("main");
  const scroll = main.querySelector(".canvas")?.scrollLeft;
  const canvas = drawing();
  main.replaceChildren(canvas, h("p", { id: "hover", class: "hoverline", "aria-live": "polite" }), h("div", { class: "about" }, about()));
  if (scroll !== undefined) canvas.scrollLeft = scroll;
  else canvas.scrollLeft = canvas.scrollWidth;
}

function bar() {
  const range = h("input", { type: "range", id: "share", min: 10, max: 100, value: 100, "aria-label": "Share of the influence whose nodes are shown" });
  const text = h("output", {}, "all kept nodes");
  range.addEventListener("input", () => {
    share = Number(range.value) === 100 ? 1 : (Number(range.value) / 100) * data.share;
    text.textContent = share === 1 ? "all kept nodes" : `${percent(share)} of the influence`;
    render();
  });
  const { replacement, completeness } = data.scores;
  return [
    h("h1", { class: "title" }, data.title),
    h("span", { class: "soft", title: "Share of the predictions' sources that are tokens, by way of features, and not what dictionaries miss" }, `replacement ${percent(replacement)}`),
    h("span", { class: "soft", title: "Share of what feeds the nodes, by their influence, that is not what dictionaries miss" }, `completeness ${percent(completeness)}`),
    h("span", { class: "soft" }, `${count(nodes.filter((n) => n.kind === "feature").length)} of ${count(data.active)} active features`),
    h("label", { class: "share" }, range, text),
    themeButton(),
  ];
}

function fromAddress() {
  const node = nodes[Number(location.hash.slice(1))];
  chosen = location.hash.length > 1 && node ? node : null;
  render();
}

const KEYS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
document.addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLInputElement) return;
  if (event.key === "Escape") choose(null);
  else if (KEYS[event.key]) {
    event.preventDefault();
    towards(...KEYS[event.key]);
  } else if ((event.key === "Enter" || event.key === " ") && event.target.dataset?.node) {
    event.preventDefault();
    choose(nodes[Number(event.target.dataset.node)]);
  }
});
addEventListener("popstate", fromAddress);
document.getElementById("bar").replaceChildren(...bar());
document.body.classList.add("circuit");
fromAddress();

/** The page of an attribution graph. */

import { h } from "./dom.js";
import { plain } from "./text.js";
import { count, percent } from "./numbers.js";
import { themeButton } from "./theme.js";
import { linked, named, towards } from "./graph.js";
import { drawing } from "./picture.js";
import { about } from "./lists.js";

const graph = linked(JSON.parse(document.getElementById("data").textContent));
let chosen = null;
let share = 1;

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
  line.textContent = node ? `${named(graph, node)}${node.kind === "feature" && node.label ? ` · ${plain(node.label)}` : ""}` : "";
}

function render() {
  const main = document.getElementById("main");
  const scroll = main.querySelector(".canvas")?.scrollLeft;
  const canvas = drawing(graph, chosen, share, { choose, hover });
  main.replaceChildren(canvas, h("p", { id: "hover", class: "hoverline", "aria-live": "polite" }), h("div", { class: "about" }, about(graph, chosen, choose)));
  if (scroll !== undefined) canvas.scrollLeft = scroll;
  else canvas.scrollLeft = canvas.scrollWidth;
}

function bar() {
  const range = h("input", { type: "range", id: "share", min: 10, max: 100, value: 100, "aria-label": "Share of the influence whose nodes are shown" });
  const text = h("output", {}, "all kept nodes");
  range.addEventListener("input", () => {
    share = Number(range.value) === 100 ? 1 : (Number(range.value) / 100) * graph.share;
    text.textContent = share === 1 ? "all kept nodes" : `${percent(share)} of the influence`;
    render();
  });
  const { replacement, completeness } = graph.scores;
  return [
    h("h1", { class: "title" }, graph.title),
    h("span", { class: "soft", title: "Share of the predictions' sources that are tokens, by way of features, and not what dictionaries miss" }, `replacement ${percent(replacement)}`),
    h("span", { class: "soft", title: "Share of what feeds the nodes, by their influence, that is not what dictionaries miss" }, `completeness ${percent(completeness)}`),
    h("span", { class: "soft" }, `${count(graph.nodes.filter((n) => n.kind === "feature").length)} of ${count(graph.active)} active features`),
    h("label", { class: "share" }, range, text),
    themeButton(),
  ];
}

function fromAddress() {
  const node = graph.nodes[Number(location.hash.slice(1))];
  chosen = location.hash.length > 1 && node ? node : null;
  render();
}

const KEYS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
document.addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLInputElement) return;
  if (event.key === "Escape") choose(null);
  else if (KEYS[event.key]) {
    event.preventDefault();
    const next = towards(graph, chosen, ...KEYS[event.key]);
    if (next) choose(next);
  } else if ((event.key === "Enter" || event.key === " ") && event.target.dataset?.node) {
    event.preventDefault();
    choose(graph.nodes[Number(event.target.dataset.node)]);
  }
});
addEventListener("popstate", fromAddress);
document.getElementById("bar").replaceChildren(...bar());
document.body.classList.add("circuit");
fromAddress();

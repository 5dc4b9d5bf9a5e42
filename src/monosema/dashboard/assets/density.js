/** How densely features fire: a histogram in which a range can be chosen, by clicking or dragging. */

import { densityBins } from "./columns.js";
import { h, s } from "./dom.js";
import { count, percent } from "./numbers.js";
import { heights, linear } from "./scale.js";
import { explain, hint } from "./tooltip.js";

const [WIDTH, LEFT, TOP, TALL] = [340, 6, 4, 62]; // pixels

/** The figure; `chosen(from, to)` gets the densities that were chosen, or nulls. */
export function densityChart(density, chosen) {
  const bins = densityBins(density);
  const all = bins.counts.length;
  const x = linear(0, all, LEFT, WIDTH - LEFT);
  const { height } = heights(bins.counts);
  const columns = bins.counts.map((n, bin) => column(n, bin, bins, x, height));
  const box = { viewBox: `0 0 ${WIDTH} ${TOP + TALL + 18}`, class: "chart brush", role: "img" };
  const groups = columns.map(({ group }) => group);
  const picture = s("svg", { ...box, "aria-label": "Histogram of densities" }, groups, axis(bins, x));
  const show = (from, to) =>
    columns.forEach(({ bar }, bin) =>
      bar.classList.toggle("out", bins.edge(bin + 1) <= (from ?? 0) * 1.0001 || bins.edge(bin) * 1.0001 >= (to ?? 2)),
    );
  const binAt = (at) => Math.max(0, Math.min(Math.floor(((at - LEFT) / (WIDTH - 2 * LEFT)) * all), all - 1));
  brush(picture, binAt, (low, high, done) => {
    const range = [low === 0 ? null : short(bins.edge(low)), high === all - 1 ? null : short(bins.edge(high + 1))];
    show(...range);
    if (done) chosen(...range);
  });
  const silent = bins.silent ? h("small", {}, `${count(bins.silent)} never fire`) : null;
  const title = hint("Density", "How many features fire on what share of tokens. Click or drag to choose a range.");
  return { element: h("section", { class: "densities" }, h("h2", {}, title, silent), picture), show };
}

/** One column, and the bar in it. */
function column(n, bin, bins, x, height) {
  const [from, wide, tall] = [x(bin), x(bin + 1) - x(bin), TALL * height(n)];
  const bar = s("rect", { x: from + 0.5, y: TOP + TALL - tall, width: wide - 1, height: tall, class: "bin" });
  const area = s("rect", { x: from, y: TOP, width: wide, height: TALL, class: "catch" });
  const [low, high] = [bins.edge(bin), bins.edge(bin + 1)].map(percent);
  return {
    bar,
    group: s(
      "g",
      {},
      bar,
      explain(area, () => `${count(n)} features fire on ${low} to ${high} of tokens`),
    ),
  };
}

function short(density) {
  return Number(density.toPrecision(4));
}

function axis({ first, perDecade }, x) {
  const base = TOP + TALL;
  const decades = Array.from({ length: Math.max(-first, 1) + 1 }, (_, i) => i);
  const every = Math.ceil(decades.length / 5);
  const anchor = (i) => (i === 0 ? "start" : i === decades.length - 1 ? "end" : "middle");
  return [
    s("line", { x1: LEFT, x2: WIDTH - LEFT, y1: base, y2: base, class: "axis" }),
    decades
      .filter((i) => (decades.length - 1 - i) % every === 0)
      .map((i) => s("text", { x: x(i * perDecade), y: base + 13, class: anchor(i) }, power(first + i))),
  ];
}

/** A power of ten as a percentage. */
function power(exponent) {
  const digits = [..."⁰¹²³⁴⁵⁶⁷⁸⁹"];
  if (exponent >= -5) return `${10 ** (exponent + 2)} %`;
  return `10⁻${[...String(-exponent - 2)].map((digit) => digits[digit]).join("")} %`;
}

/** Follows a pointer that is pressed; `bin` is of a horizontal place in the picture. */
function brush(picture, bin, act) {
  const at = (event) => {
    const box = picture.getBoundingClientRect();
    return bin(((event.clientX - box.left) / box.width) * WIDTH);
  };
  let start = null;
  const to = (event, done) => {
    if (start === null) return;
    const end = at(event);
    act(Math.min(start, end), Math.max(start, end), done);
    if (done) start = null;
  };
  picture.addEventListener("pointerdown", (event) => {
    start = at(event);
    picture.setPointerCapture(event.pointerId);
    to(event, false);
  });
  picture.addEventListener("pointermove", (event) => to(event, false));
  picture.addEventListener("pointerup", (event) => to(event, true));
  picture.addEventListener("pointercancel", (event) => to(event, true));
}

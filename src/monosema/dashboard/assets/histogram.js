/** How often a feature is how active, with the intervals that examples were taken from. */

import { h, s } from "./dom.js";
import { count, percent, value } from "./numbers.js";
import { heights, linear, powers, ticks } from "./scale.js";
import { explain, hint } from "./tooltip.js";

const WIDTH = 340;
const [LEFT, TOP, TALL, LANE] = [38, 6, 104, 15]; // pixels

/** The figure. `choose` is called with the number of a group whose interval is clicked. */
export function histogram({ histogram: { edges, counts }, groups }, choose) {
  if (!counts.some((n) => n > 0)) return null;
  const x = linear(edges[0], edges.at(-1), LEFT, WIDTH - 4);
  const largest = Math.max(Math.abs(edges[0]), Math.abs(edges.at(-1)));
  const { log, most, height } = heights(counts);
  const y = (n) => TOP + TALL * (1 - height(n));
  const [lanes, brackets] = intervals(groups, x, choose);
  const tall = TOP + TALL + 20 + lanes * LANE;
  const picture = s(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${tall}`, class: "chart", role: "group", "aria-label": "Histogram of activations" },
    marksUp(log ? powers(most, 4) : ticks(0, most, 3), y),
    counts.map((n, i) => bar(n, edges[i], edges[i + 1], x, y, largest)),
    marksAlong(ticks(edges[0], edges.at(-1), 5), x),
    brackets,
  );
  const title = hint("Activations", `How many tokens the feature fires on, by how strongly. ${NOTE}`);
  return h("section", { class: "panel" }, h("h2", {}, title, log && h("small", {}, "counts on a log scale")), picture);
}

const NOTE = "Brackets below mark the intervals that the groups of examples come from.";

function bar(n, low, high, x, y, most) {
  const wide = Math.max(x(high) - x(low) - 1, 1);
  const shade = Math.max(Math.abs(low + high) / 2 / most, 0.12);
  const column = s("rect", {
    x: x(low),
    y: y(n),
    width: wide,
    height: TOP + TALL - y(n),
    class: "heat",
    "--shade": shade,
  });
  const whole = s("rect", { x: x(low), y: TOP, width: wide + 1, height: TALL, class: "catch" });
  return s(
    "g",
    {},
    column,
    explain(whole, () => `${count(n)} tokens from ${value(low)} to ${value(high)}`),
  );
}

function marksUp(numbers, y) {
  return numbers.map((n) => [
    s("line", { x1: LEFT, x2: WIDTH - 4, y1: y(n), y2: y(n), class: "grid" }),
    s("text", { x: LEFT - 5, y: y(n) + 3.5, class: "end" }, short(n)),
  ]);
}

function marksAlong(numbers, x) {
  const base = TOP + TALL;
  return [
    s("line", { x1: LEFT, x2: WIDTH - 4, y1: base, y2: base, class: "axis" }),
    numbers.map((v) => s("text", { x: x(v), y: base + 14, class: "middle" }, tick(v))),
  ];
}

function tick(v) {
  return Math.abs(v) >= 1000 ? short(v) : String(v).replace("-", "−");
}

function short(n) {
  if (n < 1000) return String(n);
  return n < 1e6 ? `${Number((n / 1e3).toPrecision(2))}k` : `${Number((n / 1e6).toPrecision(2))}M`;
}

/** A bracket for each group that has an interval, in as few lanes as keep them apart. */
function intervals(groups, x, choose) {
  const ends = [];
  const bounded = groups
    .map((group, i) => ({ group, i }))
    .filter(({ group }) => group.low !== null && group.high !== null);
  const marks = bounded
    .sort((a, b) => a.group.low - b.group.low)
    .map(({ group, i }) => {
      const [from, to] = [x(group.low), Math.max(x(group.high), x(group.low) + 3)];
      const free = ends.findIndex((end) => end <= from + 2);
      const lane = free < 0 ? ends.length : free;
      ends[lane] = to;
      return bracket(group, i, from, to, TOP + TALL + 22 + lane * LANE, choose);
    });
  return [ends.length, marks];
}

function bracket(group, i, from, to, y, choose) {
  const line = s("path", { d: `M${from + 1} ${y - 3}v5H${to - 1}v-5`, class: "bracket" });
  const number = s("text", { x: (from + to) / 2, y: y + 12, class: "middle small" }, String(i + 1));
  const area = s("rect", {
    x: from,
    y: y - 4,
    width: to - from,
    height: LANE,
    class: "catch link",
    onclick: () => choose(i),
  });
  const share = group.share === null ? "" : `, ${percent(group.share)} of activations`;
  explain(area, () => `${i + 1}. ${group.title}: ${value(group.low)} to ${value(group.high)}${share}`);
  return s("g", {}, line, to - from > 9 && number, area);
}

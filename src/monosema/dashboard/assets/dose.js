/** Dose and response: what more and more of a feature does, beside random directions, as two small charts. */

import { h, s } from "./dom.js";
import { count, signed } from "./numbers.js";
import { linear, ticks } from "./scale.js";
import { chip } from "./text.js";
import { explain, hint } from "./tooltip.js";

const [WIDTH, LEFT, TOP, TALL] = [340, 44, 8, 128]; // pixels

/** The charts of an answer, and its numbers as a table. */
export function doseFigure({ feature, promoted, tokens, controls, responses }) {
  const chips = promoted.flatMap((text) => [chip(text), " "]);
  const where = `On ${count(tokens)} tokens of the store's text; strength × direction is added at every token.`;
  const charts = [
    ["Its tokens", "Change of the log-probability of the tokens that it promotes, all together, in nats", "tokens"],
    ["Cross-entropy", "Change of the model's loss on the text, in nats", "cross_entropy"],
  ].map(([title, meaning, key]) =>
    h("div", { class: "panel" }, h("h3", {}, hint(title, meaning)), chart(responses, key, title)),
  );
  const legend = h(
    "p",
    { class: "legend" },
    h("span", { class: "own" }, `feature ${feature}`),
    h("span", { class: "others" }, `${controls} random directions, on average`),
  );
  return h(
    "section",
    { class: "dose" },
    h("p", { class: "note" }, where, " Its tokens: ", chips),
    legend,
    h("div", { class: "charts" }, charts),
    numbers(responses),
  );
}

function chart(responses, key, title) {
  const finite = responses.filter((one) => one[key] !== null && one[`random_${key}`] !== null);
  const [low, high] = range(finite.map(({ strength }) => strength));
  const [least, most] = range(finite.flatMap((one) => [one[key], one[`random_${key}`]]));
  const x = linear(low, high, LEFT + 6, WIDTH - 10);
  const y = linear(least, most, TOP + TALL, TOP);
  const line = (name, kind) => {
    const points = finite.map((one) => [x(one.strength), y(one[name]), one]);
    const through = [...points, [x(0), y(0)]].sort(([a], [b]) => a - b); // a strength of 0 changes nothing
    const path = through.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`).join("");
    return [
      s("path", { d: path, class: `line ${kind}` }),
      points.map(([a, b, one]) =>
        explain(s("circle", { cx: a, cy: b, r: 3.5, class: `point ${kind}`, tabindex: "0" }), () => told(one, name, kind)),
      ),
    ];
  };
  const marks = ticks(least, most, 4).map((v) => [
    s("line", { x1: LEFT, x2: WIDTH - 4, y1: y(v), y2: y(v), class: v === 0 ? "axis" : "grid" }),
    s("text", { x: LEFT - 5, y: y(v) + 3.5, class: "end" }, short(v)),
  ]);
  const along = ticks(low, high, 5).map((v) =>
    s("text", { x: x(v), y: TOP + TALL + 15, class: "middle" }, short(v)),
  );
  const box = { viewBox: `0 0 ${WIDTH} ${TOP + TALL + 20}`, class: "chart", role: "group", "aria-label": title };
  return s("svg", box, marks, along, line(`random_${key}`, "others"), line(key, "own"));
}

/** From the least to the largest, 0 among them, never empty. */
function range(numbers) {
  const [low, high] = [Math.min(0, ...numbers), Math.max(0, ...numbers)];
  return high > low ? [low, high] : [low, low + 1];
}

function told(one, name, kind) {
  return `${kind === "own" ? "The feature" : "Random directions"} at ${short(one.strength)}: ${signed(one[name])}`;
}

function short(v) {
  return String(Number(v.toPrecision(3))).replace("-", "−");
}

function numbers(responses) {
  const heads = ["strength", "its tokens", "CE", "random: its tokens", "random: CE"];
  const keys = ["tokens", "cross_entropy", "random_tokens", "random_cross_entropy"];
  const rows = responses.map((one) =>
    h("tr", {}, h("th", { scope: "row" }, short(one.strength)), keys.map((key) => h("td", {}, signed(one[key])))),
  );
  const head = h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)));
  return h("details", {}, h("summary", {}, "numbers"), h("div", { class: "wide" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows))));
}

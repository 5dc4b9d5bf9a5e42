/** One example: a piece of text, each token shaded, and what a tooltip says of a token. */

import { h } from "./dom.js";
import { count, percent, signed, value } from "./numbers.js";
import { MODES, shade } from "./shading.js";
import { chip, plain } from "./text.js";
import { tokenRun } from "./tokens.js";
import { explain } from "./tooltip.js";

const NEAR = [12, 6]; // tokens before and after the strongest

/** An item of a list of examples. */
export function exampleItem(example, { feature, mode, shades, near }) {
  const [first, last] = near ? window(example) : [0, example.tokens.length];
  const shadeOf = shades(example);
  const run = tokenRun(example.tokens.slice(first, last), {
    label: `Document ${example.document}; the strongest token is ${plain(example.tokens[example.strongest])}`,
    current: example.strongest - first,
    active: (i) => example.values[first + i] !== 0,
    before: mode === "sources" && elsewhere(example, first, last),
    make: (element, i) => {
      shade(element, shadeOf(first + i), MODES[mode].diverging);
      element.classList.toggle("strongest", first + i === example.strongest);
      explain(element, () => tokenTip(example, first + i, feature));
    },
  });
  return h("li", { class: "example" }, meta(example, mode), run);
}

function window({ strongest, tokens }) {
  return [Math.max(strongest - NEAR[0], 0), Math.min(strongest + NEAR[1] + 1, tokens.length)];
}

function meta(example, mode) {
  const strongest = MODES[mode].diverging && mode !== "sources" ? MODES[mode].of(example)?.[example.strongest] : null;
  const where = h("small", {}, `${count(example.document)}:${count(example.position)}`);
  explain(
    where,
    () => `Document ${count(example.document)}, context ${count(example.context)}, position ${count(example.position)}`,
  );
  const effect = strongest === null || strongest === undefined ? null : h("small", {}, signed(strongest));
  return h(
    "div",
    { class: "meta" },
    h("span", {}, effect, h("b", {}, value(example.values[example.strongest]))),
    where,
  );
}

/** What stands for the tokens that are not shown, where the shown ones have the others' sum beside them. */
function elsewhere({ sources, source_rest: rest }, first, last) {
  if (!sources || rest === null) return null;
  const sum = sources.reduce((total, v, i) => (i < first || i >= last ? total + v : total), rest);
  const sign = h("small", { class: "elsewhere", tabindex: "0" }, `… ${signed(sum)}`);
  return [explain(sign, () => `The tokens that are not shown contribute ${signed(sum)} in all`), " "];
}

/** What is known of one token of an example. */
function tokenTip(example, i, feature) {
  const at = (values) => values?.[i] ?? null;
  const following = example.tokens[i + 1];
  const [before, after] = [at(example.next), at(example.after)];
  const share = feature.max > 0 ? ` · ${percent(example.values[i] / feature.max)} of max` : "";
  const lines = [
    ["Activation", `${value(example.values[i])}${example.values[i] ? share : ""}`],
    ["Position", count(example.start + i)],
    at(example.sources) !== null && ["Contributes", signed(at(example.sources))],
    before !== null && ["Next token", [following === undefined ? "after the end" : chip(following)]],
    before !== null && ["Probability", after === null ? value(before) : `${value(before)} → ${value(after)} without`],
    at(example.total) !== null && ["Total Δ log p", signed(at(example.total))],
    at(example.direct) !== null && ["Direct Δ log p", signed(at(example.direct))],
  ];
  const facts = lines.filter(Boolean).map(([term, text]) => [h("dt", {}, term), h("dd", {}, text)]);
  return h("div", {}, h("p", {}, chip(example.tokens[i])), h("dl", {}, facts));
}

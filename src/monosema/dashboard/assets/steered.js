/** What the model wrote, as it is and steered, side by side. */

import { h } from "./dom.js";
import { value } from "./numbers.js";
import { address } from "./router.js";
import { shade } from "./shading.js";
import { plain } from "./text.js";
import { tokenRun } from "./tokens.js";
import { explain } from "./tooltip.js";

/** The two, with tokens shaded by one of the features that were steered. */
export function steeredPair(answer) {
  const place = h("div", { class: "halves texts" });
  const fill = (which) => {
    const sides = [
      ["As it is", answer.plain],
      ["Steered", answer.steered],
    ];
    place.replaceChildren(...sides.map(([title, side]) => half(title, side, answer, which)));
  };
  fill(0);
  const note = h(
    "p",
    { class: "note" },
    "Shaded by the activation of ",
    answer.features.length > 1 ? choice(answer.features, fill) : link(answer.features[0]),
    ", as the model reads each text without steering. The prompt is paler.",
  );
  return h("section", { class: "steered" }, place, note);
}

function link(feature) {
  return h("a", { href: address(["feature", feature]) }, `feature ${feature}`);
}

function choice(features, fill) {
  const options = features.map((feature, i) => h("option", { value: i }, `feature ${feature}`));
  return h("select", { "aria-label": "Shade by", onchange: (event) => fill(Number(event.target.value)) }, options);
}

function half(title, { tokens, values }, { prompt, features, max }, which) {
  const own = values[which];
  const most = Math.max(max[which], ...own.map(Math.abs), 0);
  const make = (element, i) => {
    element.classList.toggle("given", i < prompt);
    shade(element, most > 0 ? own[i] / most : 0, false);
    explain(element, () => `${plain(tokens[i])} · feature ${features[which]}: ${value(own[i])}`);
  };
  const run = tokenRun(tokens, { label: `${title}: the text`, current: prompt, make, active: (i) => own[i] !== 0 });
  const wrote = tokens.length - prompt;
  const told = `${wrote} ${wrote === 1 ? "token" : "tokens"}`;
  return h("section", { class: "half lines" }, h("h2", {}, title, h("small", {}, told)), run);
}

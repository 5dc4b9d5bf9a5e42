/** A run of tokens of which one at a time can be reached with the keyboard: arrows go from token to token. */

import { h } from "./dom.js";
import { running } from "./text.js";

/** The run. `make(i)` gets each token's element, to shade it and to say what it means; `current` is reached first.
 *  `before` stands before the tokens. */
export function tokenRun(texts, { label, current, make, active = () => false, before = null }) {
  const elements = texts.map((text, i) =>
    h("span", { class: "token", tabindex: i === current ? "0" : "-1" }, running(text, active(i))),
  );
  elements.forEach((element, i) => make(element, i));
  const run = h("div", { class: "run", role: "group", "aria-label": label, lang: "", dir: "auto" }, before, elements);
  run.addEventListener("keydown", (event) => step(event, elements));
  return run;
}

function step(event, elements) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = elements.indexOf(event.target);
  const reached = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: elements.length - 1 }[event.key];
  if (at < 0 || reached === undefined) return;
  event.preventDefault(); // also at the ends: these keys must not leave the run for another feature
  const next = elements[reached];
  if (!next) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus({ focusVisible: true });
}

/** Two small windows: the list of keys, and the question which feature to go to. */

import { h } from "./dom.js";
import { address, go } from "./router.js";

const KEYS = [
  ["← →", "previous and next feature; within an example, previous and next token"],
  ["k j", "previous and next feature"],
  ["s", "steer the model by the feature (on a served page)"],
  ["/", "search"],
  ["g", "go to a feature by its number"],
  ["b", "back to the table of all features"],
  ["↑ ↓", "in a table, previous and next row"],
  ["Esc", "close what is open"],
  ["?", "this list"],
];

function open(title, ...inside) {
  const close = h(
    "button",
    { type: "button", class: "quiet", "aria-label": "Close", onclick: () => dialog.close() },
    "✕",
  );
  const dialog = h(
    "dialog",
    { "aria-label": title, onclose: () => dialog.remove() },
    h("header", {}, h("h2", {}, title), close),
    inside,
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Lists the keys. */
export function showKeys() {
  const rows = KEYS.map(([keys, act]) => [
    h(
      "dt",
      {},
      keys.split(" ").map((key) => h("kbd", {}, key)),
    ),
    h("dd", {}, act),
  ]);
  open("Keys", h("dl", { class: "keys" }, rows));
}

/** Asks for a number, and goes there. */
export function askForFeature(width) {
  const input = h("input", {
    type: "number",
    min: 0,
    max: width - 1,
    required: true,
    "aria-label": "Number of the feature",
    placeholder: `0 to ${width - 1}`,
  });
  const onsubmit = (event) => {
    event.preventDefault();
    dialog.close();
    go(address(["feature", Number(input.value)]));
  };
  const dialog = open("Go to a feature", h("form", { onsubmit, class: "ask" }, input, h("button", {}, "Go")));
  input.focus();
}

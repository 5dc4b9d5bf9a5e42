/** The figures beside a feature's examples. */

import { bars, poles } from "./bars.js";
import { h } from "./dom.js";
import { percent, signed, value } from "./numbers.js";
import { address } from "./router.js";
import { inFull } from "./store.js";
import { chip } from "./text.js";
import { explain, hint } from "./tooltip.js";

const SHOWN = 8; // of a list, before one asks for the rest

function panel(title, meaning, ...inside) {
  return h("section", { class: "panel" }, h("h2", {}, meaning ? hint(title, meaning) : title), inside);
}

/** The tokens that the feature promotes and suppresses. */
export function logitsPanel({ logits }) {
  if (!logits) return null;
  const meaning =
    "What the feature's direction adds to the logit of each token, past all later layers, per unit of activation.";
  const shape = h("p", { class: "note" }, `skew ${value(logits.skew)} · kurtosis ${value(logits.kurtosis)}`);
  const why =
    "Over the whole vocabulary. A large skew: few tokens stand out, upwards; a large kurtosis: few stand out at all.";
  return panel(
    "Logits",
    meaning,
    poles(logits.top, logits.bottom, ["promotes", "suppresses"]),
    explain(shape, () => why),
  );
}

/** The tokens whose embeddings the encoder reads. */
export function readsPanel({ reads }) {
  if (!reads) return null;
  const cosine =
    reads.cosine === null
      ? null
      : h("p", { class: "note" }, `cosine of what it reads and writes: ${signed(reads.cosine)}`);
  const meaning = "The tokens whose embeddings the encoder's direction responds to most.";
  return panel("Reads", meaning, poles(reads.top, reads.bottom, ["responds to", "is silenced by"]), cosine);
}

/** Features that are like this one, or go together with it, or apart. */
export function relatedPanels(feature, columns, linked) {
  const lists = [
    ["Similar directions", "similar", "Cosine of the directions that the features write."],
    ["Fire together", "together", "Correlation of firing, token by token."],
    ["Fire apart", "apart", "The most negative correlations of firing: where the one fires, the other does not."],
  ];
  return lists.map(([title, key, meaning]) => {
    if (!feature[key].length) return null;
    const entry = ([other, amount]) => relatedEntry(other, amount, columns, linked);
    return panel(
      title,
      meaning,
      folded(feature[key].map(entry), { kind: key === "apart" ? "minus" : "plus", sign: true, most: 1 }),
    );
  });
}

function relatedEntry(other, amount, columns, linked) {
  const token = columns?.token[other];
  const label = [h("span", { class: "index" }, `${other}`), token ? chip(token) : null];
  const href = linked && inFull(other) ? address(["feature", other]) : null;
  return { label, amount, href };
}

function folded(entries, options) {
  if (entries.length <= SHOWN + 2) return bars(entries, options);
  const rest = entries.slice(SHOWN);
  const more = h("details", {}, h("summary", {}, `${rest.length} more`), bars(rest, options));
  return [bars(entries.slice(0, SHOWN), options), more];
}

/** The neurons that the feature is made of, or the entries of its direction. */
export function neuronsPanels({ neurons }) {
  return neurons.map(({ title, label, meaning, entries }) => {
    if (!entries.length) return null;
    const same = entries.every(([, number, size]) => Math.abs(number) === size); // then it is written once
    const entry = ([index, number, size]) => ({
      label: [h("span", { class: "index" }, `${index}`), !same && h("span", { class: "soft" }, signed(number))],
      amount: same ? number : size,
    });
    const heading = h("h2", {}, hint(title, meaning), h("small", {}, label));
    return h("section", { class: "panel" }, heading, folded(entries.map(entry), { most: 1, sign: same }));
  });
}

/** How the feature is spread over attention heads. */
export function headsPanel({ heads }) {
  if (!heads) return null;
  const most = Math.max(...heads, 0);
  const columns = heads.map((share, head) => {
    const bar = h("span", { class: "column", "--part": most > 0 ? Math.max(share, 0) / most : 0 });
    const item = h("li", { class: share === most ? "most" : null }, bar, h("span", {}, String(head)));
    return explain(item, () => `Head ${head}: ${percent(share)}`);
  });
  const first = heads.indexOf(most);
  const label = `Shares of heads; the largest is head ${first} with ${percent(most)}`;
  const note = h("p", { class: "note" }, `mostly head ${first}: ${percent(most)}`);
  return panel(
    "Heads",
    "How much of the feature lies in each attention head.",
    h("ol", { class: "columns", "aria-label": label }, columns),
    note,
  );
}

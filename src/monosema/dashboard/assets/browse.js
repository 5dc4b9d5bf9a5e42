/** The table of all features. */

import { DESCENDING, sifted } from "./columns.js";
import { h } from "./dom.js";
import { controls } from "./controls.js";
import { addressOf, amendTo, filtersOf } from "./filters.js";
import { count, percent, value } from "./numbers.js";
import { address, noteScrolled, scrolled } from "./router.js";
import { follow } from "./sequence.js";
import { sortHead } from "./sortable.js";
import { found, inFull, shownInFull } from "./store.js";
import { chip } from "./text.js";
import { VirtualTable } from "./virtual.js";

/** The view at `#/features?sort=density`. */
export async function browse({ query }, overview) {
  const state = filtersOf(query);
  const { columns } = overview;
  let places = [];
  let among = null;
  const table = new VirtualTable({
    label: "Features",
    columns: () => tableColumns(columns, () => places, state, sortBy),
    href: (row) => address(["feature", columns.feature[places[row]]]),
    scrolled: noteScrolled,
  });
  const bar = controls(overview, state, change);
  const fill = (top) => {
    places = sifted(columns, { ...state, among });
    const changed =
      state.text || state.sort !== "feature" || state.descending || places.length < columns.feature.length;
    follow(changed ? places.map((i) => columns.feature[i]) : null, addressOf(state));
    table.fill(places.length, top);
    bar.update(places.length);
  };
  const search = async () => {
    const text = state.text;
    const features = text ? await found(text) : null;
    if (text !== state.text) return false;
    among = bothOf(features, state.some ? shownInFull : null);
    return true;
  };
  async function change(changes) {
    const sought = "text" in changes || "some" in changes;
    Object.assign(state, changes);
    amendTo(state);
    if (!sought || (await bar.trying(search))) fill(0);
  }
  function sortBy(sort) {
    change({ sort, descending: state.sort === sort ? !state.descending : DESCENDING[sort] });
  }
  await search();
  return {
    title: overview.title,
    element: h("div", { class: "view browse" }, heading(overview), bar.element, table.element),
    shown: () => fill(scrolled() ?? 0),
    search: (text) => change({ text }),
    wide: true,
    scrolls: true,
  };
}

function bothOf(some, others) {
  if (!some || !others) return some || others ? new Set(some ?? others) : null;
  const kept = new Set(others);
  return new Set(some.filter((feature) => kept.has(feature)));
}

function heading(overview) {
  const { title, dictionary, model, reads, writes, width, tokens } = overview;
  const wires = reads.join() === writes.join() ? reads.join(", ") : `${reads.join(", ")} → ${writes.join(", ")}`;
  const lead = `${dictionary} · ${model} · ${wires} · ${count(width)} features on ${count(tokens)} tokens`;
  const facts = Object.entries(overview.facts).map(([term, text]) =>
    h("div", {}, h("dt", {}, term), h("dd", {}, text)),
  );
  const more =
    facts.length > 0 && h("details", { class: "facts" }, h("summary", {}, "About the dictionary"), h("dl", {}, facts));
  return h("div", { class: "heading" }, h("h1", {}, title), h("p", { class: "lead" }, lead), more);
}

const COLUMNS = [
  ["feature", "Feature", "Its number", (v) => String(v)],
  ["token", "Strongest on", "The token that it is strongest on, in the store", (v) => (v ? chip(v) : "–")],
  ["logit", "Promotes", "The token whose logit its direction raises most", (v) => (v ? chip(v) : "–")],
  ["density", "Density", "Share of tokens on which it fires", percent],
  ["max", "Max", "Its strongest activation", value],
  ["mean", "Mean", "Its mean activation where it fires", value],
  ["skew", "Skew", "Of its logits over the vocabulary: large if few tokens stand out upwards", value],
  ["head", "Head", "The head with its largest share", (v) => String(v ?? "–")],
];

function tableColumns(columns, places, state, sortBy) {
  return COLUMNS.filter(([name]) => columns[name]).map(([name, label, meaning, show]) => ({
    name: `at-${name}`,
    ...sortHead(name, label, meaning, state, sortBy),
    cell: (row) => content(name, columns, places()[row], show),
  }));
}

function content(name, columns, i, show) {
  const text = show(columns[name][i]);
  return name === "feature" && !inFull(columns.feature[i]) ? h("span", { class: "soft" }, text) : text;
}

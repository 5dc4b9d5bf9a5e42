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
  const list = new FeatureList(overview, filtersOf(query));
  await list.search();
  return {
    title: overview.title,
    element: h("div", { class: "view browse" }, heading(overview), list.controls.element, list.table.element),
    shown: () => list.fill(scrolled() ?? 0),
    search: (text) => list.change({ text }),
    wide: true,
    scrolls: true,
  };
}

/** The features that pass the filters, in order, and what shows and changes them. */
class FeatureList {
  constructor(overview, state) {
    Object.assign(this, { state, columns: overview.columns, places: [], among: null });
    this.controls = controls(overview, state, (changes) => this.change(changes));
    this.table = new VirtualTable({
      label: "Features",
      columns: () => this.tableColumns(),
      href: (row) => address(["feature", this.columns.feature[this.places[row]]]),
      scrolled: noteScrolled,
    });
  }

  /** Shows what the filters say, scrolled down to `top`. */
  fill(top) {
    const { columns, state } = this;
    this.places = sifted(columns, { ...state, among: this.among });
    const asTheyAre = !state.text && state.sort === "feature" && !state.descending;
    const all = asTheyAre && this.places.length === columns.feature.length;
    follow(all ? null : this.places.map((i) => columns.feature[i]), addressOf(state));
    this.table.fill(this.places.length, top);
    this.controls.update(this.places.length);
  }

  /** Looks for the text; false if the reader has meanwhile typed another one. */
  async search() {
    const { text, some } = this.state;
    const features = text ? await found(text) : null;
    if (text !== this.state.text) return false;
    this.among = bothOf(features, some ? shownInFull : null);
    return true;
  }

  async change(changes) {
    Object.assign(this.state, changes);
    amendTo(this.state);
    const sought = "text" in changes || "some" in changes;
    if (!sought || (await this.controls.trying(() => this.search()))) this.fill(0);
  }

  sortBy(sort) {
    const { state } = this;
    this.change({ sort, descending: state.sort === sort ? !state.descending : DESCENDING[sort] });
  }

  tableColumns() {
    const { columns, state } = this;
    return COLUMNS.filter(([name]) => columns[name]).map(([name, label, meaning, show]) => ({
      name: `at-${name}`,
      ...sortHead(name, label, meaning, state, (sort) => this.sortBy(sort)),
      cell: (row) => content(name, columns, this.places[row], show),
    }));
  }
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

function content(name, columns, i, show) {
  const text = show(columns[name][i]);
  return name === "feature" && !inFull(columns.feature[i]) ? h("span", { class: "soft" }, text) : text;
}

/** Two dictionaries: which features of the one are like which of the other. */

import { sorted } from "./columns.js";
import { h } from "./dom.js";
import { featureArticle } from "./feature.js";
import { count, signed, value } from "./numbers.js";
import { address, go, here, noteScrolled, scrolled } from "./router.js";
import { sortHead } from "./sortable.js";
import { comparisonWith, featureOf, otherFeatureOf } from "./store.js";
import { chip } from "./text.js";
import { VirtualTable } from "./virtual.js";

const ALIKE = 0.7; // cosine above which two features count as the same one

/** The views at `#/compare`, `#/compare/NAME` and `#/compare/NAME/12/40`. */
export async function compareView({ parts }, overview) {
  const [, name, feature, other] = parts;
  if (!overview.others.length) throw new Error("This page has no other dictionary to compare with.");
  if (name === undefined) return choices(overview);
  return feature === undefined ? pairsView(name, overview) : sideBySide(name, Number(feature), Number(other), overview);
}

function choices({ others }) {
  const items = others.map((name) => h("li", {}, h("a", { href: address(["compare", name]) }, name)));
  return {
    title: "Compare",
    element: h("div", { class: "view" }, h("h1", {}, "Compare with"), h("ul", { class: "plain" }, items)),
  };
}

async function pairsView(name, overview) {
  const { pairs, tokens } = await comparisonWith(name);
  const state = { sort: "cosine", descending: true, rows: pairs };
  const sortBy = (sort) => {
    state.descending = state.sort === sort ? !state.descending : sort !== "feature" && sort !== "other";
    state.sort = sort;
    state.rows = sorted([...pairs.keys()], (i) => pairs[i][sort], state.descending).map((i) => pairs[i]);
    table.fill(pairs.length);
  };
  const table = new VirtualTable({
    label: "Pairs",
    columns: () => pairColumns(overview, { name, tokens }, state, sortBy),
    href: (row) => address(["compare", name, state.rows[row].feature, state.rows[row].other]),
    scrolled: noteScrolled,
  });
  const alike = pairs.filter(({ cosine }) => cosine >= ALIKE).length;
  const lead = `${count(pairs.length)} pairs, ${count(alike)} of them with a cosine of ${ALIKE} or more.`;
  const title = h("h1", {}, h("span", { class: "soft" }, `${overview.dictionary} and `), name);
  return {
    title: `Compare with ${name}`,
    element: h(
      "div",
      { class: "view browse" },
      h("div", { class: "heading" }, title, h("p", { class: "lead" }, lead), otherChoice(name, overview)),
      table.element,
    ),
    shown: () => table.fill(pairs.length, scrolled() ?? 0),
    wide: true,
    scrolls: true,
  };
}

function otherChoice(name, { others }) {
  if (others.length < 2) return null;
  const onchange = (event) => go(address(["compare", event.target.value]));
  const options = others.map((other) => h("option", { value: other, selected: other === name }, other));
  return h("label", {}, "Compare with ", h("select", { onchange }, options));
}

function pairColumns({ dictionary, columns }, { name, tokens }, state, sortBy) {
  const token = (text) => (text ? chip(text) : "–");
  const shown = [
    ["feature", dictionary, `A feature of ${dictionary}`, (pair) => String(pair.feature)],
    ["token", null, null, (pair) => token(columns.token[pair.feature])],
    ["other", name, `A feature of ${name}`, (pair) => String(pair.other)],
    ["token", null, null, (pair) => token(pair.token)],
    ["cosine", "Cosine", "Between the directions that the two write", (pair) => value(pair.cosine)],
    [
      "together",
      "Together",
      `Correlation of firing${tokens === null ? "" : `, on ${count(tokens)} tokens`}`,
      (pair) => (pair.together === null ? "–" : signed(pair.together)),
    ],
  ];
  return shown.map(([key, label, meaning, show]) => ({
    name: `at-${key}`,
    ...(label ? sortHead(key, label, meaning, state, sortBy) : { head: "strongest on" }),
    cell: (row) => show(state.rows[row]),
  }));
}

async function sideBySide(name, feature, other, overview) {
  if (!Number.isInteger(feature) || !Number.isInteger(other))
    throw new Error(`No such pair of features: ${here().parts.slice(2).join(" and ")}`);
  const [{ pairs }, ours, theirs] = await Promise.all([
    comparisonWith(name),
    featureOf(feature),
    otherFeatureOf(name, other),
  ]);
  const pair = pairs.find((one) => one.feature === feature && one.other === other);
  const together = pair && pair.together !== null ? `, correlation ${signed(pair.together)}` : "";
  const lead = pair ? `cosine ${value(pair.cosine)}${together}` : "not among the pairs of the table";
  const column = (title, link, article) =>
    h("section", { class: "half" }, h("h2", { class: "title" }, link ? h("a", { href: link }, title) : title), article);
  return {
    title: `${feature} and ${other} of ${name}`,
    element: h(
      "div",
      { class: "view" },
      h(
        "div",
        { class: "top" },
        h("h1", {}, `${feature} and ${other}`, h("small", {}, lead)),
        h("a", { href: address(["compare", name]) }, "all pairs"),
      ),
      h(
        "div",
        { class: "halves" },
        column(
          `${overview.dictionary}, ${feature}`,
          address(["feature", feature]),
          featureArticle(ours, { columns: overview.columns, linked: true }),
        ),
        column(`${name}, ${other}`, null, featureArticle(theirs, { columns: null })),
      ),
    ),
    wide: true,
  };
}

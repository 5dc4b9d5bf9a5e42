/** What the shade of a token may stand for. */

/** Each mode: its name, the values that it shows, and what they mean. */
export const MODES = {
  activation: {
    label: "activation",
    of: (example) => example.values,
    note: "The deeper the shade, the more active the feature is on the token. The strongest token is underlined.",
  },
  total: {
    label: "total effect",
    of: (example) => example.total,
    diverging: true,
    note:
      "What removing the feature, and running the model again, does to the log-probability of the token that follows: " +
      "− less likely without it (the feature speaks for it), + more likely.",
  },
  direct: {
    label: "direct effect",
    of: (example) => example.direct,
    diverging: true,
    note:
      "As the total effect, but through the residual stream alone, past all later layers: " +
      "− less likely without the feature (it speaks for the token that follows), + more likely.",
  },
  sources: {
    label: "source positions",
    of: (example) => example.sources,
    diverging: true,
    each: true,
    note:
      "How much each token contributes to the feature's activation at the strongest one, which is underlined: " +
      "+ raises it, − lowers it. Shades are relative to the largest of the example.",
  },
};

/** The modes that some example of a feature has values for. */
export function modesOf(groups) {
  const examples = groups.flatMap((group) => group.examples);
  return Object.keys(MODES).filter((name) =>
    examples.some((example) => MODES[name].of(example)?.some((v) => v !== null)),
  );
}

/** Of a mode: the function from an example to that from a token's place to its shade, of -1 to 1. */
export function shades(name, feature) {
  const mode = MODES[name];
  const largest = (values) => values?.reduce((most, v) => Math.max(most, Math.abs(v ?? 0)), 0) ?? 0;
  const all = () =>
    Math.max(...feature.groups.flatMap((group) => group.examples.map((one) => largest(mode.of(one)))), 0);
  const common = mode.each ? null : Math.max(all(), name === "activation" ? feature.max : 0);
  return (example) => {
    const values = mode.of(example);
    const scale = common ?? largest(values);
    return (i) => (values && scale > 0 ? Math.max(-1, Math.min((values[i] ?? 0) / scale, 1)) : 0);
  };
}

/** Shades an element; where a shade may be of either sign, it is marked, too. */
export function shade(element, amount, diverging) {
  element.classList.toggle("heat", amount > 0 && !diverging);
  element.classList.toggle("plus", amount > 0 && diverging === true);
  element.classList.toggle("minus", amount < 0);
  element.classList.toggle("clear", Math.abs(amount) >= 0.2);
  if (amount) element.style.setProperty("--shade", Math.abs(amount).toFixed(3));
  else element.style.removeProperty("--shade");
}

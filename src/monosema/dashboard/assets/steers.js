/** What is done to features: in the address, `steer=12:add:40`, and as the server is asked. */

import { address } from "./router.js";

/** The modes: what each does, and what its number is called; null if it has none. */
export const MODES = {
  add: { label: "add", amount: "strength", meaning: "adds the strength to the feature's code at every token" },
  clamp: { label: "clamp to", amount: "strength", meaning: "sets the code to the strength at every token" },
  scale: { label: "scale by", amount: "factor", meaning: "multiplies the code wherever the feature fires" },
  ablate: { label: "ablate", amount: null, meaning: "sets the code to 0 at every token" },
};

export const MOST = 8; // features at once

/** The features that an address steers; what it cannot mean is left out. */
export function steersOf(query, width) {
  return query
    .getAll("steer")
    .map(parsed)
    .filter((steer) => steer && steer.feature < width)
    .slice(0, MOST);
}

function parsed(text) {
  const [, feature, mode, number] = /^(\d{1,9}):(\w+):(-?[\d.]+(?:e[-+]?\d+)?)$/.exec(text) ?? [];
  if (feature === undefined || !Object.hasOwn(MODES, mode) || !Number.isFinite(Number(number))) return null;
  return { feature: Number(feature), mode, value: Number(number) };
}

/** The address's way of saying it. */
export function written({ feature, mode, value }) {
  return `${feature}:${mode}:${value}`;
}

/** A strength that shows what a feature does: as large as it ever gets. */
export function usual(feature, { columns }) {
  return Number((columns.max[feature] || 10).toPrecision(2));
}

/** Where a feature is steered. */
export function steerAddress(feature, overview) {
  return address(["steer"], { steer: written({ feature, mode: "add", value: usual(feature, overview) }) });
}

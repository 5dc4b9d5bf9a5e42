/** The nodes of an attribution graph: what feeds each, what it feeds, its name and its place. */

import { plain } from "./text.js";
import { percent } from "./numbers.js";

export const ROW = 62;
const STEP = 17;
const LEFT = 16;
export const TOP = 34;

/** The page's graph; each node knows its neighbours, the largest contributions first. */
export function linked(data) {
  const nodes = data.nodes.map((node, number) => ({ ...node, number, into: [], from: [] }));
  for (const [source, target, weight] of data.edges) {
    nodes[target].into.push({ node: nodes[source], weight });
    nodes[source].from.push({ node: nodes[target], weight });
  }
  for (const node of nodes) {
    for (const side of [node.into, node.from]) side.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
  }
  return { ...data, nodes };
}

/** What a node is called in one line. */
export function named(graph, node) {
  const where = `“${plain(graph.tokens[node.position])}” (${node.position})`;
  if (node.kind === "feature") return `${node.name} ${node.index} at ${where}`;
  if (node.kind === "error") return `missed at ${node.name}, ${where}`;
  if (node.kind === "embedding") return `token ${where}`;
  return `“${plain(node.label)}”, ${percent(node.value)}`;
}

/** Nodes that are shown, by place: in each column as many side by side as the fullest of its cells has. */
export function placed(graph, share) {
  const shown = graph.nodes.filter((node) => node.rank <= share || node.kind === "embedding" || node.kind === "logit");
  const cells = new Map();
  for (const node of shown) {
    const key = `${node.position} ${node.layer}`;
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(node);
  }
  const widths = graph.tokens.map((token) => Math.max(STEP * 2, 7.2 * Math.min(plain(token).length, 14) + 10));
  for (const cell of cells.values()) {
    cell.sort((a, b) => b.influence - a.influence);
    const at = cell[0].position;
    widths[at] = Math.max(widths[at], STEP * (cell.length + 1));
  }
  const starts = [];
  let x = LEFT;
  for (const width of widths) {
    starts.push(x);
    x += width;
  }
  for (const cell of cells.values()) {
    const middle = starts[cell[0].position] + widths[cell[0].position] / 2;
    cell.forEach((node, i) => {
      node.x = middle + STEP * (i - (cell.length - 1) / 2);
      node.y = TOP + ROW * (graph.layers - node.layer);
    });
  }
  return { shown, starts, widths, width: x + 12, height: TOP + ROW * (graph.layers + 1) + 46 };
}

/** The next shown node in a direction: the nearest within its half plane. */
export function towards(graph, chosen, dx, dy) {
  const from = chosen ?? graph.nodes.find((node) => node.kind === "logit");
  let best = null;
  for (const node of graph.nodes) {
    if (node.x === undefined || node === from) continue;
    const ahead = (node.x - from.x) * dx + (node.y - from.y) * dy;
    const aside = Math.abs((node.x - from.x) * dy) + Math.abs((node.y - from.y) * dx);
    if (ahead > 1 && (!best || ahead + 2 * aside < best.cost)) best = { node, cost: ahead + 2 * aside };
  }
  return best?.node ?? null;
}

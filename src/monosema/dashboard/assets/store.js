/** Where data come from: from the page itself, or, if a server made it, from the server. */

const embedded = JSON.parse(document.getElementById("data").textContent);
const KEPT = 200; // features in memory

/** Whether there is a server. */
export const served = embedded.served === true;

const inPage = new Map((embedded.features ?? []).map((feature) => [feature.feature, feature]));
const fetched = new Map();

/** Features that the page has in full, in their order; null if it has all. */
export const shownInFull = served ? null : [...inPage.keys()];

/** Whether there is more of a feature than its row in the table. */
export function inFull(feature) {
  return served || inPage.has(feature);
}

export async function overviewOf() {
  return served ? ask("overview") : embedded.overview;
}

export async function featureOf(feature) {
  return served ? kept(`feature/${feature}`) : inPage.get(feature);
}

/** The groups of a feature's examples, with what the model has to be run again for. */
export async function effectsOf(feature) {
  return kept(`effects/${feature}`);
}

export async function otherFeatureOf(name, feature) {
  return kept(`other/${encodeURIComponent(name)}/${feature}`);
}

export async function comparisonWith(name) {
  return kept(`compare/${encodeURIComponent(name)}`);
}

export async function promptOf(text) {
  return send("prompt", { text });
}

/** What the model writes, with and without steering. */
export async function steeredText(asked) {
  return send("steer", asked);
}

/** What several strengths of a feature do. */
export async function dosesOf(feature, strengths) {
  return send("dose", { feature, strengths });
}

async function send(path, asked) {
  return ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(asked),
  });
}

/** The features whose tokens, examples or logits contain a text. */
export async function found(text) {
  return served ? ask(`search?text=${encodeURIComponent(text)}`) : foundInPage(text.toLowerCase());
}

function foundInPage(text) {
  const { token, logit } = embedded.overview.columns;
  const has = (one) => one.toLowerCase().includes(text);
  const inExamples = (feature) =>
    feature.groups.some((group) => group.examples.some((example) => has(example.tokens.join(""))));
  return embedded.overview.columns.feature.filter(
    (feature, i) =>
      has(token[i]) || (logit && has(logit[i])) || (inPage.has(feature) && inExamples(inPage.get(feature))),
  );
}

async function kept(path) {
  if (!fetched.has(path)) {
    fetched.set(path, await ask(path));
    if (fetched.size > KEPT) fetched.delete(fetched.keys().next().value);
  }
  return fetched.get(path);
}

async function ask(path, options) {
  const answer = await fetch(`/api/${path}`, options).catch(() => null);
  if (answer === null) throw new Error("The server does not answer; is it still running?");
  const said = await answer.json().catch(() => ({ error: `The server answered with ${answer.status}` }));
  if (!answer.ok) throw new Error(said.error);
  return said;
}

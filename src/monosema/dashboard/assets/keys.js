/** Keys that work everywhere but where one types. */

const actions = new Map();
let ofView = {};

/** Gives a key something to do in every view. */
export function onKey(key, act) {
  actions.set(key, act);
}

/** The keys of the view that is shown, in place of those of the one before. */
export function keysOfView(keys) {
  ofView = keys ?? {};
}

function typing(element) {
  return element.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName);
}

/** Starts to listen. */
export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    const act = ofView[event.key] ?? actions.get(event.key);
    if (!act) return;
    event.preventDefault();
    act();
  });
}

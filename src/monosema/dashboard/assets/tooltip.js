/** The one tooltip: shown for what is under the pointer or has the focus, until either leaves or Escape is pressed. */

import { h } from "./dom.js";

const GAP = 6; // pixels
const contents = new WeakMap();
const tip = document.getElementById("tip");
let owner = null;

/** Gives an element a tooltip. Its content is made when it is shown. */
export function explain(element, content) {
  contents.set(element, content);
  return element;
}

/** A label whose meaning a tooltip tells. */
export function hint(label, meaning) {
  return explain(h("span", { class: "hint", tabindex: "0" }, label), () => meaning);
}

export function hideTip() {
  owner?.removeAttribute("aria-describedby");
  owner = null;
  tip.hidden = true;
}

function show(element, event) {
  if (element === owner) return;
  hideTip();
  owner = element;
  tip.replaceChildren(contents.get(element)());
  tip.hidden = false;
  element.setAttribute("aria-describedby", "tip");
  place(boxOf(element, event));
}

/** Of an element on several lines: the part under the pointer, or the longest. */
function boxOf(element, event) {
  const boxes = [...element.getClientRects()];
  const under = (box) => event.clientY >= box.top - 1 && event.clientY <= box.bottom + 1;
  return boxes.find(under) ?? longest(boxes) ?? element.getBoundingClientRect();
}

function longest(boxes) {
  return boxes.sort((a, b) => b.width - a.width)[0];
}

function place(box) {
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.max(
    GAP,
    Math.min(box.left + box.width / 2 - width / 2, document.documentElement.clientWidth - width - GAP),
  );
  const above = box.top - height - GAP;
  tip.style.setProperty("--left", `${left}px`);
  tip.style.setProperty("--top", `${above < GAP ? box.bottom + GAP : above}px`);
}

function ownerOf(target) {
  for (let element = target; element instanceof Element; element = element.parentElement) {
    if (contents.has(element)) return element;
  }
  return null;
}

function follow(event) {
  const element = ownerOf(event.target);
  if (element) show(element, event);
  else if (owner && owner !== document.activeElement) hideTip();
}

function moved() {
  if (owner && owner === document.activeElement)
    place(longest([...owner.getClientRects()]) ?? owner.getBoundingClientRect());
  else hideTip();
}

/** Starts to watch pointer and focus. */
export function watchTips() {
  document.addEventListener("pointerover", follow);
  document.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && follow(event));
  document.addEventListener("focusout", hideTip);
  document.addEventListener("scroll", moved, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
}

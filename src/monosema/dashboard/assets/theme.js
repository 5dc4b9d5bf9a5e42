/** Light, dark, or as the system has it; and other choices that last. */

import { h } from "./dom.js";

const NEXT = { auto: "dark", dark: "light", light: "auto" };
const SIGNS = { auto: "◐", dark: "●", light: "○" };

/** What was chosen before; `fallback` if nothing was, or the browser keeps nothing. */
export function remembered(name, fallback) {
  try {
    return localStorage.getItem(`monosema ${name}`) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Keeps a choice, if the browser does. */
export function remember(name, choice) {
  try {
    localStorage.setItem(`monosema ${name}`, choice);
  } catch {
    // Then it lasts as long as the page.
  }
}

/** A button that goes round light, dark and the system's. */
export function themeButton() {
  let theme = remembered("theme", "auto");
  const button = h("button", { type: "button", class: "quiet", onclick: () => set(NEXT[theme]) });
  const set = (chosen) => {
    theme = chosen in NEXT ? chosen : "auto";
    document.documentElement.dataset.theme = theme;
    button.textContent = SIGNS[theme];
    button.title = `Colours: ${theme === "auto" ? "as the system has them" : theme}`;
    button.setAttribute("aria-label", button.title);
    remember("theme", theme);
  };
  set(theme);
  return button;
}

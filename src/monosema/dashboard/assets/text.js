/** Tokens as a reader may see them: whatever is in them, they can be seen, and change nothing around them. */

import { h } from "./dom.js";

// Controls, marks that reverse or hide text, and halves of characters; not the joiners, which emoji and scripts need.
const HIDDEN = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]|(?![\u200c\u200d\u0600-\u0605])\p{Cf}/gu;

const LONGEST = 80; // characters that are shown of a token within a text

/** A token as plain text: line ends as ⏎, what cannot be seen as ·. */
export function plain(text) {
  return text
    .replace(/\r\n|\n|\r/g, "⏎")
    .replace(/\t/g, "⇥")
    .replace(HIDDEN, "·");
}

/** A token by itself, with the spaces at its ends. */
export function chip(text) {
  const shown = plain(text);
  const start = /^[ \u00a0]*/.exec(shown)[0].length;
  const end = start === shown.length ? 0 : /[ \u00a0]*$/.exec(shown)[0].length;
  const spaces = (n) => (n ? h("i", { class: "mark" }, "␣".repeat(n)) : null);
  const middle = marked(shown.slice(start, shown.length - end));
  return h("bdi", { class: "chip", lang: "" }, spaces(start), middle, spaces(end), shown === "" && empty());
}

/**
 * A token's text within its context: spaces as they are, unless there is nothing else. A word is an element of its own,
 * without the space before it, which may stand at the end of the line above.
 */
export function running(text, active) {
  const shown = clipped(plain(text));
  const spaces = /^[ \u00a0]*/.exec(shown)[0];
  if (shown === "") return active ? [h("span", { class: "word" }, empty())] : [];
  if (shown === spaces) return [h("span", { class: "word" }, h("i", { class: "mark" }, "␣".repeat(shown.length)))];
  return [spaces, h("span", { class: "word" }, marked(shown.slice(spaces.length)))];
}

/** The start and the end of a very long token. */
function clipped(shown) {
  const characters = Array.from(shown);
  return characters.length > LONGEST
    ? [...characters.slice(0, LONGEST - 20), " … ", ...characters.slice(-10)].join("")
    : shown;
}

function marked(shown) {
  return shown.split(/([⏎⇥·]+)/u).flatMap((part, i) => {
    if (part === "") return [];
    return i % 2
      ? [h("i", { class: "mark" }, part), part.includes("⏎") && h("i", { class: "break" }, h("wbr"))]
      : [part];
  });
}

function empty() {
  return h("i", { class: "mark" }, "·");
}

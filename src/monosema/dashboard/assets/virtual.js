/** A table of any number of rows, of which only those in sight are in the page. */

import { h } from "./dom.js";

const ROW = 30; // pixels; as in the style sheet
const SPARE = 10; // rows above and below those in sight

/**
 * `columns` are `{name, head, cell, aria?}`: a class, what stands above, what stands in row i, and the head's attributes.
 * `href` is the address that row i leads to; the first column holds the link, which covers the row.
 */
export function virtualTable({ label, columns, href, scrolled = () => {} }) {
  const body = h("div", { class: "rows", role: "rowgroup" });
  const head = h("div", { class: "row head", role: "row", "aria-rowindex": "1" });
  const scroller = h("div", { class: "scroller", tabindex: "-1" }, h("div", { role: "rowgroup", class: "heads" }, head), body);
  const element = h("div", { class: "table", role: "table", "aria-label": label }, scroller);
  let [count, drawn, waiting] = [0, new Map(), false];

  const rowOf = (i) => {
    const cells = columns().map(({ name, cell }, column) =>
      h("div", { class: name, role: "cell" }, column ? cell(i) : h("a", { href: href(i), "data-row": i }, cell(i))),
    );
    return h("div", { class: "row", role: "row", "aria-rowindex": i + 2, "--row": i }, cells);
  };
  const draw = () => {
    waiting = false;
    const first = Math.max(Math.floor(scroller.scrollTop / ROW) - SPARE, 0);
    const last = Math.min(Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW) + SPARE, count);
    for (const [i, row] of drawn) {
      if (i >= first && i < last) continue;
      row.remove();
      drawn.delete(i);
    }
    for (let i = first; i < last; i += 1) {
      if (drawn.has(i)) continue;
      drawn.set(i, rowOf(i));
      body.append(drawn.get(i));
    }
  };
  const later = () => {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  };
  const focus = (i) => {
    if (i < 0 || i >= count) return;
    const [top, seen] = [i * ROW, scroller.clientHeight - 2 * ROW];
    scroller.scrollTop = Math.min(top, Math.max(scroller.scrollTop, top - seen));
    draw();
    drawn.get(i).querySelector("a").focus({ preventScroll: true });
  };
  scroller.addEventListener("scroll", () => {
    later();
    scrolled(scroller.scrollTop);
  }, { passive: true });
  element.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[event.key];
    const row = event.target.dataset?.row;
    if (!step || row === undefined) return;
    event.preventDefault();
    focus(Math.max(0, Math.min(Number(row) + step, count - 1)));
  });
  new ResizeObserver(later).observe(scroller);

  return {
    element,
    /** Shows so many rows, from the first on, or from where `top` is. */
    fill(rows, top = 0) {
      count = rows;
      head.replaceChildren(...columns().map((one) => h("div", { class: one.name, role: "columnheader", ...one.aria }, one.head)));
      element.setAttribute("aria-rowcount", rows + 1);
      body.style.setProperty("--count", rows);
      body.replaceChildren();
      drawn = new Map();
      scroller.scrollTop = top;
      draw();
    },
  };
}

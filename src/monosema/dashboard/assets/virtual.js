/** A table of any number of rows, of which only those in sight are in the page. */

import { h } from "./dom.js";

const ROW = 30; // pixels; as in the style sheet
const SPARE = 10; // rows above and below those in sight
const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 };

/** The table. Its rows are made when they come into sight, and dropped when they are out of it. */
export class VirtualTable {
  /**
   * `columns()` are `{name, head, cell, aria}`: a class, what stands above, what stands in row i, the head's attributes.
   * `href(i)` is where row i leads; the first column holds the link, which covers the row. `scrolled` is told how far.
   */
  constructor({ label, columns, href, scrolled }) {
    Object.assign(this, { columns, href, count: 0, drawn: new Map(), waiting: false });
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.titles = h("div", { class: "row titles", role: "row", "aria-rowindex": "1" });
    const heads = h("div", { role: "rowgroup", class: "heads" }, this.titles);
    this.scroller = h("div", { class: "scroller", tabindex: "-1" }, heads, this.body);
    this.element = h("div", { class: "table", role: "table", "aria-label": label }, this.scroller);
    const moved = () => {
      this.drawSoon();
      scrolled(this.scroller.scrollTop);
    };
    this.scroller.addEventListener("scroll", moved, { passive: true });
    this.element.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.drawSoon()).observe(this.scroller);
  }

  /** Shows so many rows, from the first on, or as far down as `top` is. */
  fill(count, top = 0) {
    this.count = count;
    const head = ({ name, head: inside, aria }) => h("div", { class: name, role: "columnheader", ...aria }, inside);
    this.titles.replaceChildren(...this.columns().map(head));
    this.element.setAttribute("aria-rowcount", count + 1);
    this.body.style.setProperty("--count", count);
    this.body.replaceChildren();
    this.drawn.clear();
    this.scroller.scrollTop = top;
    this.draw();
  }

  drawSoon() {
    if (!this.waiting) requestAnimationFrame(() => this.draw());
    this.waiting = true;
  }

  draw() {
    this.waiting = false;
    const { scrollTop, clientHeight } = this.scroller;
    const first = Math.max(Math.floor(scrollTop / ROW) - SPARE, 0);
    const last = Math.min(Math.ceil((scrollTop + clientHeight) / ROW) + SPARE, this.count);
    for (const [i, row] of this.drawn) {
      if (i >= first && i < last) continue;
      row.remove();
      this.drawn.delete(i);
    }
    const columns = this.columns();
    for (let i = last - 1; i >= first; i -= 1) {
      if (this.drawn.has(i)) continue;
      this.drawn.set(i, this.row(i, columns));
      this.body.insertBefore(this.drawn.get(i), this.drawn.get(i + 1) ?? null);
    }
  }

  row(i, columns) {
    const inside = (cell, column) => (column ? cell(i) : h("a", { href: this.href(i), "data-row": i }, cell(i)));
    const cells = columns.map(({ name, cell }, column) =>
      h("div", { class: name, role: "cell" }, inside(cell, column)),
    );
    return h("div", { class: "row", role: "row", "aria-rowindex": i + 2, "--row": i }, cells);
  }

  /** Moves the focus from row to row. */
  step(event) {
    const [step, row] = [STEPS[event.key], event.target.dataset?.row];
    if (!step || row === undefined) return;
    event.preventDefault();
    const to = Math.max(0, Math.min(Number(row) + step, this.count - 1));
    const lowest = to * ROW - (this.scroller.clientHeight - 2 * ROW); // the heads cover one row
    this.scroller.scrollTop = Math.min(to * ROW, Math.max(this.scroller.scrollTop, lowest));
    this.draw();
    this.drawn.get(to).querySelector("a").focus({ preventScroll: true });
  }
}

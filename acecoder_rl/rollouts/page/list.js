// A list of any length: only the rows in view exist, and they are asked for in pieces.

import { ask, wasReplaced } from "./api.js";
import { element, number, shade } from "./dom.js";

const HEIGHT = 26; // of a row, as in style.css
const PIECE = 200;
const HIGHEST = 15_000_000; // pixels that browsers lay out exactly

export class List {
  constructor(place, choose, failed) {
    this.place = place;
    this.choose = choose;
    this.failed = failed;
    this.space = element("div", { class: "space" });
    place.append(this.space);
    place.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(place);
    this.clear({});
  }

  clear(query) {
    this.query = query;
    this.pieces = new Map();
    this.asked = new Set();
    this.matched = 0;
    this.chosen = null;
  }

  /** Show what a query gives; resolves with the number of rows when the first of them are drawn. */
  async show(query, keep = false) {
    const first = keep ? Math.floor(this.first() / PIECE) * PIECE : 0;
    const found = await ask("rows", { ...query, offset: first, limit: PIECE }, "rows");
    const chosen = keep ? this.chosen : null;
    this.clear(query);
    this.chosen = chosen;
    this.matched = found.matched;
    this.take(found);
    this.space.style.height = `${Math.min(this.matched * HEIGHT, HIGHEST)}px`;
    if (!keep) this.place.scrollTop = 0;
    this.draw();
    return found.matched;
  }

  take(found) {
    this.pieces.set(found.offset / PIECE, found.rows);
  }

  /** Rows a pixel: above 1 row in HEIGHT pixels only for lists too long to lay out. */
  scale() {
    return Math.max(1, (this.matched * HEIGHT) / HIGHEST);
  }

  first() {
    return Math.min(Math.floor((this.place.scrollTop * this.scale()) / HEIGHT), Math.max(0, this.matched - 1));
  }

  row(index) {
    return this.pieces.get(Math.floor(index / PIECE))?.[index % PIECE];
  }

  draw() {
    const first = this.first();
    const count = Math.min(Math.ceil(this.place.clientHeight / HEIGHT) + 1, this.matched - first);
    const drawn = [];
    for (let index = first; index < first + count; index++) {
      const row = this.row(index);
      if (row === undefined) this.load(Math.floor(index / PIECE));
      const line = row === undefined ? element("div", { class: "row" }, "…") : this.line(row, index);
      line.style.transform = `translateY(${this.place.scrollTop + (index - first) * HEIGHT}px)`;
      drawn.push(line);
    }
    this.space.replaceChildren(...drawn);
  }

  async load(piece) {
    if (this.asked.has(piece)) return;
    this.asked.add(piece);
    const query = this.query;
    try {
      const found = await ask("rows", { ...query, offset: piece * PIECE, limit: PIECE });
      if (query !== this.query) return;
      this.take(found);
      this.draw();
    } catch (error) {
      if (!wasReplaced(error)) this.failed(error);
    }
  }

  line(row, index) {
    const made = element(
      "div",
      { class: `row${row.key === this.chosen ? " chosen" : ""}`, "data-key": row.key, onclick: () => this.pick(index) },
      element("span", { class: "c-step", text: row.step === null ? "–" : `${row.step}${row.mode === "eval" ? "e" : ""}` }),
      element("span", { class: `c-number ${shade(row.pass_rate)}`, text: number(row.reward) }),
      element("span", { class: `c-number ${shade(row.pass_rate)}`, text: number(row.pass_rate) }),
      element("span", { class: `c-number ${shade(row.holdout_pass_rate)}`, text: number(row.holdout_pass_rate) }),
      element("span", { class: "c-length", text: row.length }),
      element("span", { class: "c-problem", text: row.problem }),
      element("span", { class: "c-flags", text: [...row.flags, ...(row.timeouts ? ["time-out"] : []), ...(row.truncated ? ["cut off"] : []), ...(row.repeated ? ["done again"] : [])].join(" ") }),
    );
    return made;
  }

  pick(index) {
    const row = this.row(index);
    if (row === undefined) return;
    this.chosen = row.key;
    this.draw();
    this.choose(row.key);
  }

  /** Choose the row after the chosen one, or before it. */
  step(by) {
    let at = -1;
    for (const [piece, rows] of this.pieces) {
      const found = rows.findIndex((row) => row.key === this.chosen);
      if (found >= 0) at = piece * PIECE + found;
    }
    const next = at < 0 ? this.first() : Math.min(Math.max(at + by, 0), this.matched - 1);
    if (next < this.first() || next >= this.first() + Math.floor(this.place.clientHeight / HEIGHT) - 1) {
      this.place.scrollTop = Math.max(0, ((next - 3) * HEIGHT) / this.scale());
    }
    this.pick(next);
  }
}

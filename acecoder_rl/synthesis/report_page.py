"""The report's page: HTML around figures, the table of stages, and the script that shows examples.

Covers: `page`.
Does not cover: what stands in it (report_numbers.py, report_examples.py, report_figures.py).
Hostile input: what models wrote is data in a JSON block, in ASCII and without "<", and is shown as text only; the page
    may load nothing (its Content-Security-Policy).
"""

from __future__ import annotations

import html
import json
from typing import Any

from acecoder_rl.synthesis.state import State

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
COLUMNS = ("stage", "state", "rows in", "rows out", "dropped", "seconds", "tokens in", "tokens out", "USD")


def page(title: str, figures: str, states: dict[str, State], examples: list[dict[str, Any]]) -> str:
    """The whole page.

    Args:
        title: plain text.
        figures: HTML of our own.
        states: of the stages, by name.
        examples: as report_examples.py has them.
    """
    # "<" cannot stand in a script, whatever follows it; json.dumps keeps all else in ASCII.
    data = json.dumps(examples).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    title = html.escape(title)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
{_table(states)}
{figures}
<h2>Examples</h2>
<p><input id="search" type="search" placeholder="words in question, tests or programs" aria-label="search">
<select id="outcome" aria-label="outcome"><option value="">all outcomes</option></select>
<span id="count"></span></p>
<div id="browser"><ol id="list"></ol><div id="detail"></div></div>
<script type="application/json" id="examples">{data}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _table(states: dict[str, State]) -> str:
    from acecoder_rl.synthesis.funnel import dollars  # which knows all stages, this one too

    rows = "".join(
        f"<tr>{_cells(name, state, dollars(state.cost) if state.cost else '')}</tr>" for name, state in states.items()
    )
    total = sum(state.cost for state in states.values())
    head = "".join(f"<th>{column}</th>" for column in COLUMNS)
    paid = f"<p>All answers together: {dollars(total)} USD.</p>" if total else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{paid}"


def _cells(name: str, state: State, cost: str) -> str:
    tokens = [state.counts.get(key) for key in ("tokens_in", "tokens_out")]
    values = [
        name,
        state.state,
        f"{state.read:,}",
        f"{state.kept:,}",
        f"{sum(state.dropped.values()):,}",
        f"{state.seconds:,.1f}",
        *("" if count is None else f"{count:,}" for count in tokens),
        cost,
    ]
    return "".join(f"<td>{html.escape(value)}</td>" for value in values)


STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 1300px; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; } th, td { padding: .15rem .8rem; text-align: right; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; } th { border-bottom: 1px solid #999; }
tbody tr:nth-child(even) { background: #f4f6f8; }
#search { width: 24rem; } #count { color: #666; }
#browser { display: flex; gap: 1rem; height: 80vh; border: 1px solid #ccc; }
#list { flex: 0 0 22rem; overflow: auto; margin: 0; padding: 0; list-style: none; border-right: 1px solid #ccc; }
#list button { display: block; width: 100%; padding: .35rem .6rem; border: 0; border-bottom: 1px solid #eee;
  background: none; text-align: left; font: inherit; cursor: pointer; overflow: hidden; white-space: nowrap;
  text-overflow: ellipsis; }
#list button[aria-current=true] { background: #dbe9f6; }
#detail { flex: 1; overflow: auto; padding: .5rem 1rem; min-width: 0; }
pre { background: #f4f6f8; padding: .5rem; white-space: pre-wrap; overflow-wrap: anywhere; margin: .2rem 0 .8rem; }
.question { white-space: pre-wrap; overflow-wrap: anywhere; }
.tests { list-style: none; padding: 0; } .tests code { white-space: pre-wrap; overflow-wrap: anywhere; }
.good { color: #14733a; } .bad { color: #a3262a; } .dim { color: #666; }
summary { cursor: pointer; }
"""

SCRIPT = r"""
"use strict";
const all = JSON.parse(document.getElementById("examples").textContent);
const byId = name => document.getElementById(name);
const list = byId("list"), detail = byId("detail"), search = byId("search"), outcome = byId("outcome");

// The one way that text gets into the page: as text.
function add(parent, tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = String(text);
  if (kind) made.className = kind;
  parent.appendChild(made);
  return made;
}
const percent = rate => rate === null || rate === undefined ? "no pass rate" : (100 * rate).toFixed(0) + " %";

function showTests(title, tests, reasonOf) {
  if (!tests || !tests.length) return;
  add(detail, "h4", title + " (" + tests.length + ")");
  const items = add(detail, "ul", null, "tests");
  for (const test of tests) {
    const reason = reasonOf(test), item = add(items, "li");
    add(item, "span", reason ? "\u2717 " : "\u2713 ", reason ? "bad" : "good");
    add(item, "code", typeof test === "string" ? test :
      typeof test.test === "string" ? test.test : JSON.stringify(test.test));
    if (reason) add(item, "span", "  " + reason, "dim");
  }
}
function showPrograms(title, programs) {
  if (!programs || !programs.length) return;
  add(detail, "h4", title + " (" + programs.length + ")");
  for (const each of programs) {
    const box = add(detail, "details"), head = add(box, "summary");
    add(head, "span", percent(each.rate), each.rate === 1 ? "good" : each.rate ? "" : "bad");
    add(head, "span", "  " + each.model + (each.truncated ? ", cut off" : ""), "dim");
    add(head, "span", "  " + (each.passed || []).map(one => one ? "\u2713" : "\u2717").join(""), "dim");
    add(box, "pre", each.program || "no program");
  }
}
function show(example, button) {
  for (const other of list.querySelectorAll("button")) other.removeAttribute("aria-current");
  button.setAttribute("aria-current", "true");
  detail.replaceChildren();
  add(detail, "h3", example.id);
  add(detail, "p", (example.source || "") + " \u00b7 " + example.outcome, "dim");
  if (example.note) add(detail, "pre", example.note);
  if (example.question) add(detail, "p", example.question, "question");
  showTests("tests", example.tests, () => "");
  showTests("dropped tests", example.dropped, test => test.reason);
  showPrograms("oracle's programs", example.oracle);
  showPrograms("programs", example.programs);
  if (example.seed) {
    const box = add(detail, "details");
    add(box, "summary", "the seed");
    if (example.seed.instruction) add(box, "p", example.seed.instruction, "question");
    add(box, "pre", example.seed.program);
  }
}
const texts = all.map(example => JSON.stringify(example).toLowerCase());
function fill() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean)
    .map(word => JSON.stringify(word).slice(1, -1));
  list.replaceChildren();
  let first = null, count = 0;
  all.forEach((example, number) => {
    if (outcome.value && example.outcome !== outcome.value) return;
    if (!words.every(word => texts[number].includes(word))) return;
    count += 1;
    const button = add(add(list, "li"), "button", example.id + "  " + (example.question || example.outcome));
    button.addEventListener("click", () => show(example, button));
    first = first || [example, button];
  });
  byId("count").textContent = count + " of " + all.length;
  detail.replaceChildren();
  if (first) show(...first);
}
for (const name of [...new Set(all.map(example => example.outcome))].sort()) {
  const option = add(outcome, "option", name);
  option.value = name;
}
search.addEventListener("input", fill);
outcome.addEventListener("change", fill);
fill();
"""

// The page: filters in, list, curves and tabs out; new rollouts are taken in while a run goes on.

import { ask, wasReplaced } from "./api.js";
import { drawCurves } from "./curves.js";
import { byId, element } from "./dom.js";
import { List } from "./list.js";
import { rolloutView } from "./rollout.js";
import { groupsView, suspectsView } from "./tabs.js";

const LOOK = 3000; // milliseconds between looks for new rollouts
const form = byId("filters");
const list = new List(byId("list"), (key) => open(key), failed);
let tab = "rollouts";
let version = null;
let shown = 0;

function failed(error) {
  if (wasReplaced(error)) return;
  byId("error").textContent = error instanceof TypeError ? "The server does not answer: is acecoder-rl rollouts still running?" : error.message;
  byId("error").hidden = false;
}

function query() {
  return Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
}

/** Show what the filters give. `keep`: the same question again, over newer rollouts. */
async function show(keep = false) {
  const asked = query();
  try {
    const rest = others(asked);
    const matched = await list.show(asked, keep);
    byId("count").textContent = `${matched.toLocaleString("en")} rollouts`;
    byId("error").hidden = true;
    await rest;
    // For whoever waits for it: tests, and people with a script.
    document.body.dataset.matched = matched;
    document.body.dataset.shown = ++shown;
    if (shown === 1) requestAnimationFrame(() => setTimeout(() => performance.mark("rollouts shown")));
  } catch (error) {
    failed(error);
  }
}

async function others(asked) {
  const all = [ask("curves", asked, "curves").then((found) => drawCurves(byId("curves"), found, only))];
  if (tab === "groups") all.push(ask("groups", asked, "tab").then((found) => byId("groups").replaceChildren(...groupsView(found, open))));
  if (tab === "suspects") all.push(ask("suspects", {}, "tab").then((found) => byId("suspects").replaceChildren(...suspectsView(found, flagged))));
  await Promise.all(all);
}

function only(step) {
  const already = form.step_min.value === String(step) && form.step_max.value === String(step);
  form.step_min.value = form.step_max.value = already ? "" : step;
  changed();
}

function flagged(flag) {
  form.flags.value = flag;
  turn("rollouts");
}

function turn(to) {
  tab = to;
  for (const name of ["groups", "suspects"]) byId(name).hidden = name !== tab;
  byId("list").hidden = tab !== "rollouts";
  for (const button of byId("tabs").children) button.classList.toggle("chosen", button.dataset.tab === tab);
  changed();
}

async function open(key) {
  try {
    const found = await ask("rollout", { key }, "rollout");
    byId("detail").replaceChildren(...rolloutView(found, open));
    byId("detail").scrollTop = 0;
    list.chosen = key;
    list.draw();
    remember(key);
  } catch (error) {
    failed(error);
  }
}

/** What is shown, in the address: it can be kept and sent. */
function remember(key = new URLSearchParams(location.hash.slice(1)).get("key")) {
  const state = new URLSearchParams({ ...query(), tab, ...(key ? { key } : {}) });
  history.replaceState(null, "", `#${state}`);
}

function restore() {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "checkbox") field.checked = state.get(field.name) === field.value;
    else if (state.has(field.name)) field.value = state.get(field.name);
  }
  tab = ["groups", "suspects"].includes(state.get("tab")) ? state.get("tab") : "rollouts";
  return state.get("key");
}

function changed() {
  remember();
  return show();
}

async function look() {
  const found = await ask("summary", {}, "summary");
  document.title = `${found.name} – rollouts`;
  byId("name").textContent = found.name;
  const facts = [`${found.rows.toLocaleString("en")} rollouts of ${found.problems.toLocaleString("en")} problems`];
  if (found.steps) facts.push(`steps ${found.steps[0]} to ${found.steps[1]}`);
  if (found.dropped) facts.push(`${found.dropped} could not be written`);
  const broken = Object.keys(found.unreadable).length;
  if (broken) facts.push(`${broken} files cannot be read`);
  byId("facts").textContent = facts.join(", ");
  byId("repeated").hidden = !found.repeated;
  if (form.flags.options.length === 2) {
    for (const flag of found.flags) form.flags.append(element("option", { value: flag.name, title: flag.what, text: flag.name }));
  }
  return found.version;
}

async function watch() {
  try {
    const now = document.hidden ? version : await look();
    if (now !== version) {
      version = now;
      await show(true);
    }
  } catch (error) {
    version = null; // what it shows once it answers again is new, and takes the message away
    failed(error);
  }
  setTimeout(watch, LOOK);
}

let timer = 0;
form.addEventListener("input", (event) => {
  clearTimeout(timer);
  // Whoever types goes on typing; a choice is made.
  timer = setTimeout(changed, event.target.matches("select, [type=checkbox]") ? 0 : 80);
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(changed));
for (const button of byId("tabs").children) button.addEventListener("click", () => turn(button.dataset.tab));
document.addEventListener("keydown", (event) => {
  if (event.target.matches?.("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "j") list.step(1);
  if (event.key === "k") list.step(-1);
});

try {
  version = await look();
} catch (error) {
  failed(error);
}
const key = restore();
turn(tab);
if (key) open(key);
setTimeout(watch, LOOK);

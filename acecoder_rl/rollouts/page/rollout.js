// One rollout: its facts, flags, program, tests and group; and a group side by side.

import { ask } from "./api.js";
import { byId, element, number, shade } from "./dom.js";
import { highlighted } from "./highlight.js";

const BESIDE = 8; // programs next to each other

export function rolloutView({ rollout, group, size }, choose) {
  const flags = Object.entries(rollout.reasons);
  return [
    element("h2", { text: rollout.problem || "(a problem without id)" }),
    facts(rollout),
    flags.length ? element("ul", { class: "flags" }, ...flags.map(([flag, why]) => element("li", {}, element("b", { text: flag }), ` ${why}`))) : null,
    groupStrip(rollout, group, size, choose),
    element("h3", { text: "Program" }),
    rollout.program ? element("pre", {}, highlighted(rollout.program)) : element("p", { class: "quiet", text: "The completion has none." }),
    element("h3", { text: `Tests (${rollout.tests_count})` }),
    tests(rollout),
    folded("Question", rollout.question, true),
    folded("Completion", rollout.completion, !rollout.program),
  ].filter(Boolean);
}

function facts(rollout) {
  const shown = {
    step: rollout.step === null ? "–" : rollout.step, mode: rollout.mode, reward: number(rollout.reward, 4),
    "pass rate": number(rollout.pass_rate, 3), "withheld tests": number(rollout.holdout_pass_rate, 3),
    characters: rollout.length, "cut off": rollout.truncated ? "yes" : "no", "time-outs": rollout.timeouts,
    loading: rollout.status, isolation: rollout.isolation ?? "–", "seconds to score": number(rollout.seconds),
    at: new Date(rollout.time * 1000).toLocaleString(), run: rollout.run,
  };
  for (const [name, value] of Object.entries(rollout.components)) shown[`· ${name}`] ??= number(value, 4);
  const list = element("dl", { class: "facts" });
  for (const [name, value] of Object.entries(shown)) list.append(element("div", {}, element("dt", { text: name }), element("dd", { text: value })));
  if (rollout.message) list.append(element("p", { class: "bad", text: rollout.message }));
  return list;
}

function tests(rollout) {
  return element("ol", { class: "tests" }, ...rollout.tests.map((test) => {
    const passed = test.status === "passed";
    const kind = passed ? "good" : test.status === "not_run" ? "none" : "bad";
    return element(
      "li", { class: kind },
      element("span", { class: "status", text: passed ? "✓" : test.status }),
      test.held_out ? element("span", { class: "mark", text: "withheld" }) : null,
      test.claimed ? element("span", { class: "mark", text: "claimed" }) : null,
      element("span", { class: "quiet", text: ` ${number(test.cpu_seconds * 1000, 1)} ms` }),
      element("pre", {}, highlighted(test.text)),
      test.message ? element("p", { class: "message", text: test.message }) : null,
    );
  }));
}

function folded(title, text, open) {
  return element("details", { open }, element("summary", { text: title }), element("pre", { class: "prose", text: text || "–" }));
}

function groupStrip(rollout, group, size, choose) {
  if (group.length < 2) return null;
  const chips = group.map((other) => element("button", {
    class: `chip ${shade(other.pass_rate)}${other.key === rollout.key ? " chosen" : ""}`, text: number(other.reward),
    title: other.flags.join(" "), onclick: () => choose(other.key),
  }));
  const spread = new Set(group.map((other) => other.reward)).size > 1 ? "" : ", all with the same reward";
  return element(
    "div", { class: "group" }, `Its group: ${size}${spread} `, ...chips,
    element("button", { text: "side by side", onclick: () => beside(group) }),
  );
}

/** A group's programs next to each other. */
async function beside(group) {
  const place = byId("beside");
  place.replaceChildren(element("button", { text: "close", onclick: () => place.close() }));
  place.showModal();
  const columns = element("div", { class: "columns" });
  place.append(columns);
  for (const other of group.slice(0, BESIDE)) {
    const column = element("section", {}, element("h3", { class: shade(other.pass_rate), text: `reward ${number(other.reward)}` }));
    columns.append(column);
    try {
      const { rollout } = await ask("rollout", { key: other.key });
      const squares = rollout.tests.map((test, at) => element("span", {
        class: `square ${test.status === "passed" ? "good" : test.status === "not_run" ? "none" : "bad"}${test.held_out ? " held" : ""}`,
        title: `${at + 1}. ${test.text}\n${test.status} ${test.message}`,
      }));
      column.append(element("div", {}, ...squares), element("p", { class: "quiet", text: other.flags.join(" ") }));
      column.append(element("pre", {}, highlighted(rollout.program || rollout.completion)));
    } catch (error) {
      column.append(element("p", { class: "bad", text: error.message }));
    }
  }
  if (group.length > BESIDE) place.append(element("p", { class: "quiet", text: `The first ${BESIDE} of ${group.length}.` }));
}

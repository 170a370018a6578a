// The tabs beside the list: groups that teach nothing, and suspects.

import { element, number } from "./dom.js";

export function groupsView(found, choose) {
  const share = found.groups ? ` (${Math.round((100 * found.without_spread) / found.groups)} %)` : "";
  return [
    element("p", { text: `${found.groups} groups of several samples; ${found.without_spread}${share} without spread: all their rewards are the same, so that estimators which compare them learn nothing. ${found.all_best} of them earn 1 or more throughout, ${found.all_worst} nothing.` }),
    element("table", {}, element("tr", {}, ...["step", "problem", "samples", "reward"].map((text) => element("th", { text }))),
      ...found.rows.map((row) => element("tr", { class: "link", onclick: () => choose(row.key) },
        element("td", { text: row.step ?? "–" }), element("td", { text: row.problem }), element("td", { text: row.size }), element("td", { text: number(row.reward) })))),
  ];
}

export function suspectsView(found, only) {
  const jumps = found.jumps.map((jump) => element("li", { class: "bad", text: jump.why }));
  const none = found.holdouts
    ? "No rise of reward or pass rate that the withheld tests do not share."
    : "No tests are withheld (reward.holdout), so whether the reward rises honestly cannot be told.";
  return [
    element("h3", { text: "The whole run" }),
    jumps.length ? element("ul", {}, ...jumps) : element("p", { class: "quiet", text: none }),
    element("h3", { text: "Rollouts" }),
    element("p", { class: "quiet", text: "Flags say which to look at. They are no verdict, and earn or cost nothing." }),
    element("table", {}, ...found.flags.map((flag) => element("tr", { class: flag.rows ? "link" : "quiet", onclick: flag.rows ? () => only(flag.name) : null },
      element("td", { text: flag.rows }), element("td", {}, element("b", { text: flag.name })), element("td", { text: flag.what })))),
  ];
}

// Small curves over steps, drawn as SVG.

import { element, number } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 260;
const HEIGHT = 84;
const PANELS = [
  ["reward", [["train", "reward", "reward"], ["eval", "reward", "evaluation"]]],
  ["tests passed", [["train", "pass_rate", "earning"], ["train", "holdout_pass_rate", "withheld"], ["eval", "pass_rate", "evaluation"]]],
  ["characters", [["train", "length", "train"], ["eval", "length", "evaluation"]]],
  ["with time-outs", [["train", "timeouts", "train"], ["eval", "timeouts", "evaluation"]]],
  ["cut off", [["train", "truncated", "train"], ["eval", "truncated", "evaluation"]]],
  ["flagged", [["train", "flagged", "train"], ["eval", "flagged", "evaluation"]]],
];

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Draw all panels; `choose(step)` is called for a click on one. */
export function drawCurves(place, found, choose) {
  const steps = [...found.train.step, ...found.eval.step];
  if (steps.length === 0) {
    place.replaceChildren(element("p", { class: "quiet", text: "No rollout here has a step, so there are no curves." }));
    return;
  }
  const range = [Math.min(...steps), Math.max(...steps)];
  place.replaceChildren(...PANELS.map(([title, lines]) => panel(title, lines, found, range, choose)).filter(Boolean));
}

function panel(title, lines, found, [first, last], choose) {
  const drawn = lines
    .map(([mode, key, name], color) => ({ mode, name, color, points: points(found[mode], key) }))
    .filter((line) => line.points.length > 0);
  if (drawn.length === 0) return null;
  const values = drawn.flatMap((line) => line.points.map(([, value]) => value));
  const low = Math.min(0, ...values);
  const high = Math.max(...values) > low ? Math.max(...values) : low + 1;
  const x = (step) => 4 + ((step - first) / Math.max(1, last - first)) * (WIDTH - 8);
  const y = (value) => HEIGHT - 4 - ((value - low) / (high - low)) * (HEIGHT - 8);
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", preserveAspectRatio: "none", role: "img", "aria-label": title });
  for (const line of drawn) {
    const path = line.points.map(([step, value], at) => `${at ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`);
    picture.append(svg("path", { d: path.join(""), class: `line line-${line.color}` }));
    if (line.points.length <= 60) {
      for (const [step, value] of line.points) picture.append(svg("circle", { cx: x(step), cy: y(value), r: 2, class: `dot dot-${line.color}` }));
    }
  }
  const legend = element("figcaption", {}, element("b", { text: title }));
  const told = element("span", { class: "quiet" });
  const say = (step) => {
    const at = drawn.map((line) => [line, line.points.find(([there]) => there === step)]).filter(([, point]) => point);
    told.textContent = at.length ? ` step ${step}: ${at.map(([line, point]) => `${line.name} ${number(point[1], 3)}`).join(", ")}` : "";
  };
  const nearest = (event) => {
    const box = picture.getBoundingClientRect();
    const step = first + ((event.clientX - box.left) / box.width) * (last - first);
    const all = drawn.flatMap((line) => line.points.map(([there]) => there));
    return all.reduce((best, there) => (Math.abs(there - step) < Math.abs(best - step) ? there : best), all[0]);
  };
  picture.addEventListener("mousemove", (event) => say(nearest(event)));
  picture.addEventListener("click", (event) => choose(nearest(event)));
  for (const line of drawn) legend.append(" ", element("span", { class: `key key-${line.color}`, text: line.name }));
  legend.append(told);
  say(drawn[0].points.at(-1)[0]);
  return element("figure", {}, legend, picture);
}

function points(series, key) {
  return series.step.map((step, at) => [step, series[key][at]]).filter(([, value]) => value !== null);
}

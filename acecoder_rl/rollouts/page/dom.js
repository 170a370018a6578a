// Elements made of plain values. Texts become text nodes, always: nothing here or elsewhere parses HTML.

export const byId = (id) => document.getElementById(id);

/** An element: its attributes (`on...` are listeners, `text` its text), and its children, of which strings are text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") made.textContent = value;
    else if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const number = (value, digits = 2) => (value === null || value === undefined ? "–" : Number(value).toFixed(digits));

/** A class for a share: how green or red it is shown. */
export const shade = (value) => (value === null ? "none" : value >= 1 ? "good" : value <= 0 ? "bad" : "some");

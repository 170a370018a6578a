// Python, coloured: a text becomes spans whose textContent are its tokens, in order, with nothing lost or added.

const KEYWORDS = new Set(
  ("False None True and as assert async await break class continue def del elif else except finally for from global if " +
    "import in is lambda nonlocal not or pass raise return try while with yield match case").split(" "),
);
const TOKEN = new RegExp(
  [
    /(#[^\n]*)/, // comment
    /((?:[rRbBfFuU]{1,2})?(?:"""(?:\\[^]|[^\\])*?(?:"""|$)|'''(?:\\[^]|[^\\])*?(?:'''|$)|"(?:\\[^]|[^"\\\n])*"?|'(?:\\[^]|[^'\\\n])*'?))/,
    /(\b\d[\w.]*)/, // number
    /([A-Za-z_]\w*)/, // name
    /(@[A-Za-z_][\w.]*)/, // decorator
  ].map((part) => part.source).join("|"),
  "g",
);
const MOST = 100_000; // characters; longer texts stay plain

export function highlighted(code) {
  const made = document.createElement("code");
  if (code.length > MOST) {
    made.textContent = code;
    return made;
  }
  let end = 0;
  let before = "";
  for (const token of code.matchAll(TOKEN)) {
    if (token.index > end) made.append(code.slice(end, token.index));
    end = token.index + token[0].length;
    const kind = token[1] ? "comment" : token[2] ? "string" : token[3] ? "number" : token[5] ? "decorator"
      : KEYWORDS.has(token[0]) ? "keyword" : before === "def" || before === "class" ? "defined" : "";
    before = token[0];
    if (!kind) {
      made.append(token[0]);
      continue;
    }
    const span = document.createElement("span");
    span.className = `t-${kind}`;
    span.textContent = token[0];
    made.append(span);
  }
  made.append(code.slice(end));
  return made;
}

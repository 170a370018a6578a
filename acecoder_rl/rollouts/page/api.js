// Questions to the server. Of questions of a kind only the last one asked is answered.

const latest = new Map();

export async function ask(name, query = {}, kind = null) {
  if (kind !== null) {
    latest.get(kind)?.abort();
    latest.set(kind, new AbortController());
  }
  const answer = await fetch(`api/${name}?${new URLSearchParams(query)}`, { signal: latest.get(kind)?.signal });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error ?? answer.statusText);
  return found;
}

export const wasReplaced = (error) => error.name === "AbortError";

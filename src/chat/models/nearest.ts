/**
 * Returns the name most similar to `word`: one that starts with it, or one that is at most two
 * letters away.
 */
export function nearest(word: string, names: readonly string[]): string | undefined {
  const completed = names.find((name) => word.length > 1 && name.startsWith(word));
  if (completed !== undefined) return completed;
  const ranked = names
    .map((name) => ({ name, distance: distance(word, name) }))
    .sort((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best !== undefined && best.distance <= 2 && best.distance < word.length - 1 ? best.name : undefined;
}

/** Returns the number of letters to insert, remove or change (Levenshtein distance). */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1];
    for (let j = 0; j < to.length; j++) {
      const change = (row[j] ?? 0) + (letter === to[j] ? 0 : 1);
      next.push(Math.min(change, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

// Finds the key in a JSON text that an error message names.

/** Returns start and end of the key with the longest path that the message starts with, or undefined. */
export function keyOf(text, message) {
  let found;
  for (const {path, start, end} of keys(text)) {
    if (message.startsWith(`${path}:`) && path.length >= (found?.path.length ?? 0)) found = {path, start, end};
  }
  return found;
}

/** Returns start and end of the first JSON error and its reason, or undefined if the text is valid JSON. */
export function faultOf(text) {
  try {
    JSON.parse(text);
  } catch (error) {
    const why = error.message.replace(/^JSON\.parse: /, '');
    const [, position] = / at position (\d+)/.exec(why) ?? [];
    const start = Math.min(Number(position ?? text.length), Math.max(text.length - 1, 0));
    return {why, start, end: start + 1};
  }
}

/** Every member's path, in the notation of configuration errors, and the position of its key. The text must be JSON. */
function* keys(text) {
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;
  const open = [];
  let key;
  for (let match; (match = token.exec(text)); ) {
    const [word] = match;
    const inside = open.at(-1);
    if (word === '{' || word === '[') {
      open.push({path: path(inside, key), at: word === '[' ? 0 : undefined});
      key = undefined;
    } else if (word === '}' || word === ']') {
      open.pop();
    } else if (word === ',' && inside.at !== undefined) {
      inside.at++;
    } else if (word[0] === '"' && /^\s*:/.test(text.slice(token.lastIndex)) && inside?.at === undefined) {
      key = JSON.parse(word);
      yield {path: path(inside, key), start: match.index, end: token.lastIndex};
    }
  }
}

function path(inside, key) {
  if (!inside) return '';
  if (inside.at !== undefined) return `${inside.path}[${inside.at}]`;
  return inside.path ? `${inside.path}.${key}` : key;
}

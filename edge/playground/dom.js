// Elements of the page.

export const id = name => document.getElementById(name);

export function make(name, attributes = {}, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content);
  return made;
}

/** A name with permitted line breaks between its words. */
export function broken(name) {
  return name.split(/(?<=[._])/).flatMap(word => [word, make('wbr')]);
}

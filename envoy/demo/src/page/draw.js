// Draws on the document. Existing elements are kept, and only changed values are updated, so that focus and scrolling stay. Text from
// outside is only ever set as textContent.

export const $ = id => document.getElementById(id);
export const template = id => $(id).content.firstElementChild;

/** Makes an element. Content that is undefined is left out. */
export function make(name, attributes = {}, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content.filter(one => one !== undefined));
  return made;
}

export function write(node, words, value) {
  if (node.textContent !== words) node.textContent = words;
  if (value !== undefined && node.value !== String(value)) node.value = value;
}

/** Writes fields into the elements that name them in `data-f`. A field is a text, or [text, value]. */
export function fill(node, fields) {
  for (const place of node.querySelectorAll('[data-f]')) {
    if (place.dataset.f in fields) write(place, ...[fields[place.dataset.f] ?? ''].flat().map((one, at) => at ? one : String(one)));
  }
}

/** Shows the items as copies of the template, by key. `then` may change a copy further. Custom properties come from `style`. */
export function list(parent, template, items, then = () => {}) {
  const old = new Map([...parent.children].map(child => [child.dataset.key, child]));
  items.forEach(({key, tone = '', style = {}, ...fields}, at) => {
    const child = old.get(key) ?? template.cloneNode(true);
    if (!old.delete(key)) child.dataset.key = key;
    fill(child, fields);
    if (child.dataset.tone !== tone) child.dataset.tone = tone;
    for (const [name, value] of Object.entries(style)) child.style.setProperty(`--${name}`, value);
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
    then(child, items[at]);
  });
  old.forEach(child => child.remove());
}

/** Writes a table's header and returns the template of its rows. A column is [heading, field, field in small print]. */
export function table(body, columns) {
  const [head, row] = [make('tr'), make('tr')];
  columns.forEach(([heading, ...fields], at) => {
    head.append(make('th', {scope: 'col'}, heading));
    const cell = make(at ? 'td' : 'th', at ? {'data-label': heading} : {scope: 'row'});
    fields.forEach((field, nth) => cell.append(make(nth ? 'small' : 'data', {'data-f': field})));
    row.append(cell);
  });
  body.parentNode.tHead.append(head);
  return row;
}

/** Draws rows of [label, words, amount, tone]. The longest bar has the full width. The card is hidden if there are no rows. */
export function bars(id, rows) {
  $(id).closest('.box').hidden = !rows.length;
  const most = Math.max(...rows.map(row => row[2]), 1e-9);
  list($(id), template('bar'), rows.map(([label, words, amount, tone]) => ({key: label, label, amount: [words, amount], tone, style: {share: amount / most}})));
}

/** Draws sums of amounts over time. `points` are [time, amount]. */
export function line(id, points, [from, to], words) {
  const slots = Array(60).fill(0);
  for (const [at, amount] of points) slots[Math.min(Math.max(Math.floor((at - from) / (to - from) * slots.length), 0), slots.length - 1)] += amount;
  const most = Math.max(...slots);
  const path = slots.map((amount, at) => `${at ? 'L' : 'M'}${(100 * at / (slots.length - 1)).toFixed(1)},${(29 - 27 * amount / (most || 1)).toFixed(1)}`).join(' ');
  const [area, edge] = $(id).children;
  area.setAttribute('d', `${path} L100,29 L0,29 Z`);
  edge.setAttribute('d', path);
  $(id).setAttribute('aria-label', `Over time: at most ${words(most)} in ${Math.max(Math.round((to - from) / slots.length / 1000), 1)} seconds`);
}

/** Draws dots of [time, amount, true if it is red]. Each is a line without a length, with round ends. */
export function dots(chart, points, [from, to], most, label) {
  const drawn = ([at, amount]) => `M${(2 + 96 * (at - from) / (to - from || 1)).toFixed(1)},${(21 - 18 * amount / (most || 1)).toFixed(1)}h0`;
  const [plain, red] = chart.children;
  plain.setAttribute('d', points.filter(point => !point[2]).map(drawn).join(''));
  red.setAttribute('d', points.filter(point => point[2]).map(drawn).join(''));
  chart.setAttribute('aria-label', label);
}

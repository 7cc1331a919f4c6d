// Shows the bodies with a mark where an attribute was first known or last changed.
import {id, make} from './dom.js';

/** A larger body is not shown completely. */
const SHOWN = 200_000;
const AROUND = 200;

const decoder = new TextDecoder();

/** Measured while this page reads the bytes: it may change at any byte, so it has no mark. */
const LONGEST_GAP = 'gaugeway.response.chunk_gap.max';

/** The positions to mark, in order: where attributes were first known and where they changed last. */
export function marks(shown) {
  const at = new Map();
  for (const {key, first, last} of shown.courses.values()) {
    if (key === LONGEST_GAP) continue;
    for (const step of new Set([first, last])) at.set(step, [...(at.get(step) ?? []), key]);
  }
  const inBodies = [...at].filter(([step]) => shown.steps[step].end).sort(([one], [other]) => one - other);
  return inBodies.map(([step, keys], number) => ({step, keys, number: number + 1, ...shown.steps[step]}));
}

/** Shows a body with its marks. Of a large body only the text around the marks is shown. */
export function body(part, bytes, places) {
  const isLarge = bytes.length > SHOWN;
  const out = [];
  let at = 0;
  const text = (from, to) => decoder.decode(bytes.subarray(from, to));
  const plain = to => {
    if (isLarge && to - at > 3 * AROUND) {
      const [from, until] = [after(bytes, at + AROUND), after(bytes, to - AROUND)];
      const gap = make('span', {class: 'gap'}, ` … ${(until - from).toLocaleString('en')} bytes … `);
      out.push(text(at, from), gap, text(until, to));
    } else if (to > at) {
      out.push(text(at, to));
    }
    at = Math.max(at, to);
  };
  for (const {step, start, end, number, keys} of places) {
    const to = after(bytes, end);
    plain(Math.max(at, end - start > 1 ? Math.max(start, to - AROUND) : wordBefore(bytes, end)));
    out.push(make('mark', {id: `mark-${number}`, 'data-step': step, title: keys.join('\n')}, text(at, to)));
    out.push(make('span', {class: 'pin'}, `${number} ${brief(keys)}`));
    at = to;
  }
  plain(bytes.length);
  id(`${part}-body`).replaceChildren(...(out.length ? out : [make('span', {class: 'gap'}, 'empty')]));
  strip(part, places);
}

/** The last words of the first attributes. */
function brief(keys) {
  const [one, other] = keys.map(key => key.replace(/^(gen_ai|gaugeway)\.((request|response|usage)\.)?/, ''));
  return [one, other].filter(Boolean).join(', ') + (keys.length > 2 ? ` +${keys.length - 2}` : '');
}

/** Shows beside the body where its marks are, also those that are scrolled out of sight. */
export function strip(part, places) {
  const text = id(`${part}-body`);
  const ticks = places.map(({number, keys, step}) => {
    const mark = id(`mark-${number}`);
    const tick = make('a', {href: `#mark-${number}`, tabindex: '-1', title: `${number} ${keys.join('\n')}`, 'data-step': step});
    tick.style.setProperty('--at', Math.min((mark.offsetTop + mark.offsetHeight / 2) / text.scrollHeight, 1));
    return tick;
  });
  id(`${part}-strip`).replaceChildren(...ticks);
}

/** Scrolls to a mark in its body only, so that the page stays where it is. */
export function aim(number) {
  const mark = id(`mark-${number}`);
  const text = mark.closest('pre');
  for (const one of document.querySelectorAll('mark.aimed')) one.classList.remove('aimed');
  mark.classList.add('aimed');
  text.scrollTop = mark.offsetTop - (text.clientHeight - mark.offsetHeight) / 2;
  const {top, bottom} = text.getBoundingClientRect();
  if (bottom < 0 || top > innerHeight) text.scrollIntoView({block: 'nearest'});
}

/** The end of the UTF-8 character that contains the previous byte. */
function after(bytes, end) {
  while (end < bytes.length && (bytes[end] & 0xc0) === 0x80) end++;
  return end;
}

/** The start of the JSON member or line that ends there. */
function wordBefore(bytes, end) {
  let at = end - 1;
  while (at > 0 && '\r\n,]} '.includes(String.fromCharCode(bytes[at]))) at--;
  while (at > 0 && end - at < 120 && !'\n,{['.includes(String.fromCharCode(bytes[at - 1]))) at--;
  return after(bytes, at);
}

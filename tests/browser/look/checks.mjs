// Checks of every page: its text fits, has enough contrast, and all of it can be used with the keyboard.
import assert from 'node:assert/strict';
import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';

/** The ways in which a page is looked at: the options of `Browser.open`. */
export const LOOKS = {
  light: {},
  dark: {scheme: 'dark'},
  narrow: {width: 400, height: 860},
  'narrow-dark': {width: 400, height: 860, scheme: 'dark'},
};

/** The address of a page with this body. */
export const written = body => `data:text/html,${encodeURIComponent(`<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">${body}`)}`;

/** Fails if the page scrolls sideways, a text does not fit into its element, or its contrast is below that of WCAG 2.2, level AA. */
export async function readable(page, when) {
  const {width, height} = await page.value(`({width: innerWidth, height: innerHeight})`);
  // The elements below a point are known only in the viewport.
  const whole = await page.value(`document.documentElement.scrollHeight`);
  await page.send('Emulation.setDeviceMetricsOverride', {width, height: whole, deviceScaleFactor: 1, mobile: false});
  const [wide, room] = await page.value(`[document.documentElement.scrollWidth, document.documentElement.clientWidth]`);
  const [cut, faint] = [await page.value(`(${overflowing})()`), await page.value(`(${tooFaint})()`)];
  await page.send('Emulation.setDeviceMetricsOverride', {width, height, deviceScaleFactor: 1, mobile: false});
  assert.ok(wide <= room, `${when}: the page has ${wide} pixels in ${room}`);
  assert.deepEqual(cut, [], `${when}: text does not fit`);
  assert.deepEqual(faint, [], `${when}: text has too little contrast`);
}

/** Fails unless Tab reaches every element that can be used, shows where it is, and leaves the page at its end. */
export async function reachable(page, when) {
  // Tab goes on from what had the focus last.
  await page.value(`{const all = document.querySelector('dialog:modal') ?? document.body; all.tabIndex = -1; all.focus(); all.removeAttribute('tabindex')}`);
  const wanted = await page.value(`(${usable})()`);
  assert.ok(wanted.length > 0, `${when}: there is nothing to use`);
  assert.deepEqual(await page.value(`(${onlyForMice})()`), [], `${when}: only a mouse can use these`);
  const reached = new Set();
  for (let left = 2 * wanted.length + 50; ; left--) {
    assert.ok(left, `${when}: Tab does not leave the page`);
    const before = await page.value(`(${shown})()`);
    await page.press('Tab');
    const now = await page.value(`(${shown})()`);
    if (!now.path || reached.size > 1 && now.path === [...reached][0]) break;
    assert.ok(now.visible, `${when}: the focus is outside of the window, at ${now.name}`);
    assert.ok(now.outlined || now.path === before.path, `${when}: the focus cannot be seen, at ${now.name}`);
    reached.add(now.path);
  }
  const missing = wanted.filter(({path}) => !reached.has(path)).map(({name}) => name);
  assert.deepEqual(missing, [], `${when}: Tab does not reach these`);
}

/** Saves a picture of the whole page, or of the whole dialog that is open. */
export async function photograph(page, name) {
  const folder = process.env.GAUGEWAY_SCREENSHOTS;
  const {width, height, whole} = await page.value(`({
    width: innerWidth, height: innerHeight,
    whole: document.querySelector('dialog:modal')?.scrollHeight + 120 || document.documentElement.scrollHeight,
  })`);
  await page.send('Emulation.setDeviceMetricsOverride', {width, height: Math.min(whole, 8000), deviceScaleFactor: 1, mobile: false});
  const {data} = await page.send('Page.captureScreenshot');
  await mkdir(folder, {recursive: true});
  await writeFile(join(folder, `${name}.png`), Buffer.from(data, 'base64'));
  await page.send('Emulation.setDeviceMetricsOverride', {width, height, deviceScaleFactor: 1, mobile: false});
}

// ---- The rest runs in the page. A function is sent as its source, so it cannot call another one of this file. ----

/** The elements that are narrower than their text, except those that scroll. */
function overflowing() {
  const found = [];
  const room = document.documentElement.clientWidth;
  for (const one of document.body.querySelectorAll('*')) {
    const box = one.getBoundingClientRect();
    if (!one.checkVisibility({visibilityProperty: true}) || box.width <= 1 || one.matches('option, script, style, noscript, textarea, input, select')) continue;
    const words = one.textContent.trim().replace(/\s+/g, ' ').slice(0, 40);
    const name = `${one.tagName.toLowerCase()}${one.id && `#${one.id}`} "${words}"`;
    const {overflowX, overflowY} = getComputedStyle(one);
    const scrolls = /auto|scroll/.test(overflowX);
    if (words && !scrolls && one instanceof HTMLElement && one.clientWidth && one.scrollWidth > one.clientWidth + 1) found.push(`${name} has ${one.scrollWidth} pixels in ${one.clientWidth}`);
    if (words && one instanceof HTMLElement && /hidden|clip/.test(overflowY) && one.scrollHeight > one.clientHeight + 1) found.push(`${name} is ${one.scrollHeight} pixels high in ${one.clientHeight}`);
    if (one instanceof SVGTextElement) {
      const frame = one.ownerSVGElement.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1) found.push(`${name} leaves its drawing`);
      const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
      const around = [...one.ownerSVGElement.querySelectorAll('rect')].map(rect => rect.getBoundingClientRect());
      const boxes = around.filter(({left, right, top, bottom}) => left < x && x < right && top < y && y < bottom);
      const smallest = boxes.sort((a, b) => a.width - b.width)[0];
      if (smallest && (box.left < smallest.left || box.right > smallest.right)) found.push(`${name} leaves its box`);
    }
    // A break inside of a short word means that its column is too narrow.
    for (const node of one.closest('pre, code, dd') ? [] : one.childNodes) {
      for (const {0: word, index} of node.nodeType === 3 ? node.data.matchAll(/(?<![^\s])\w{2,16}(?![^\s])/g) : []) {
        const range = document.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        if (new Set([...range.getClientRects()].map(({top}) => Math.round(top))).size > 1) found.push(`${name} breaks the word ${word}`);
      }
    }
    if (scrolls) continue;
    const own = [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    let outer = one.parentElement;
    while (outer && !/auto|scroll/.test(getComputedStyle(outer).overflowX)) outer = outer.parentElement;
    if (own && !outer && (box.left < -1 || box.right > room + 1)) found.push(`${name} ends at ${Math.round(box.right)} of ${room}`);
  }
  return found;
}

/** The texts whose contrast with what is behind them is below 4.5, or 3 if they are large. */
function tooFaint() {
  const pixel = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
  const colours = new Map();
  const colour = text => {
    if (!colours.has(text)) {
      pixel.clearRect(0, 0, 1, 1);
      pixel.fillStyle = text;
      pixel.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
      colours.set(text, [r, g, b, a / 255]);
    }
    return colours.get(text);
  };
  // The colour behind everything depends on the scheme of the page.
  const probe = document.body.appendChild(Object.assign(document.createElement('i'), {style: 'background: canvas'}));
  const canvas = colour(getComputedStyle(probe).backgroundColor).slice(0, 3);
  probe.remove();
  const over = ([r, g, b, a], below) => [r, g, b].map((part, at) => part * a + below[at] * (1 - a));
  const light = rgb => {
    const [r, g, b] = rgb.map(part => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [above, below] = [light(one), light(other)].sort((a, b) => b - a);
    return (above + 0.05) / (below + 0.05);
  };
  // The colours that an element paints: that of its background or, in a drawing, of its shape, and those of a gradient.
  const painted = one => {
    const style = getComputedStyle(one);
    if (one instanceof SVGGeometryElement) return style.fill === 'none' || one.closest('defs') ? [] : [[...colour(style.fill).slice(0, 3), colour(style.fill)[3] * style.fillOpacity]];
    if (one instanceof SVGElement && !(one instanceof SVGSVGElement)) return [];
    const stops = style.backgroundImage.match(/(?:rgba?|color|oklch|oklab)\([^)]*\)/g) ?? [];
    return [style.backgroundColor, ...stops].map(colour).filter(([, , , a]) => a > 0);
  };
  const found = new Set();
  for (const one of document.body.querySelectorAll('*')) {
    const text = one.matches('textarea, select') ? one.value : [...one.childNodes].filter(node => node.nodeType === 3).map(node => node.data).join('');
    if (!text?.trim() || !one.checkVisibility({visibilityProperty: true}) || one.matches('option, script, style, noscript, title, desc, [type=range], :disabled')) continue;
    const range = document.createRange();
    range.selectNodeContents(one);
    const box = [...range.getClientRects()].find(({width, height}) => width > 1 && height > 1) ?? one.getBoundingClientRect();
    if (box.width <= 1) continue;
    // From the text down to the canvas.
    const stack = document.elementsFromPoint(box.left + Math.min(3, box.width / 2), box.top + box.height / 2);
    const ancestors = [];
    for (let outer = one; outer; outer = outer.parentElement) ancestors.push(outer);
    const from = stack.indexOf(one);
    const layers = from < 0 ? ancestors : [...stack.slice(from), ...ancestors.filter(outer => !stack.includes(outer))];
    let grounds = [canvas];
    for (const layer of layers.reverse()) {
      const tones = painted(layer);
      if (tones.length > 0) grounds = tones.flatMap(tone => grounds.map(below => over(tone, below)));
    }
    const style = getComputedStyle(one);
    const ink = colour(one instanceof SVGElement ? style.fill : style.color);
    const opacity = ancestors.reduce((all, outer) => all * getComputedStyle(outer).opacity, 1);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const worst = Math.min(...grounds.map(ground => contrast(over([...ink.slice(0, 3), ink[3] * opacity], ground), ground)));
    if (worst < least) found.add(`${one.tagName.toLowerCase()} ${worst.toFixed(2)} "${text.trim().slice(0, 30)}"`);
  }
  return [...found];
}

/** The elements that Tab must reach: their paths, and names for people. */
function usable() {
  const path = one => (one === document.body ? '' : `${path(one.parentElement)}>${one.tagName}:${[...one.parentElement.children].indexOf(one)}`);
  const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')];
  const open = document.querySelector('dialog:modal');
  const reached = all.filter(one => {
    if (one.matches(':disabled, [type=hidden], [tabindex="-1"], [inert] *') || (open && !open.contains(one))) return false;
    if (one.matches('[type=radio]') && !one.checked && document.querySelector(`[type=radio][name="${one.name}"]:checked`)) return false;
    return one.checkVisibility({visibilityProperty: true});
  });
  return reached.map(one => ({path: path(one), name: `${one.tagName.toLowerCase()}${one.id && `#${one.id}`} "${(one.ariaLabel ?? one.textContent).trim().slice(0, 40)}"`}));
}

/** The elements that look as if a click did something, but that no key can reach. */
function onlyForMice() {
  const found = [];
  for (const one of document.body.querySelectorAll('*')) {
    if (getComputedStyle(one).cursor !== 'pointer' || !one.checkVisibility({visibilityProperty: true})) continue;
    if (one.closest('a[href], button, input, select, summary, label, [tabindex]') || one.querySelector('a[href], button, [tabindex]')) continue;
    found.push(`${one.tagName.toLowerCase()} "${one.textContent.trim().slice(0, 40)}"`);
  }
  return found;
}

/** The element with the focus, and if it and its outline can be seen. */
function shown() {
  const path = one => (one === document.body ? '' : `${path(one.parentElement)}>${one.tagName}:${[...one.parentElement.children].indexOf(one)}`);
  const one = document.activeElement;
  if (!one || one === document.body || one === document.documentElement) return {path: ''};
  const shows = [one, ...(one.labels ?? []), one.closest('li, tr')].filter(Boolean);
  const outlined = shows.some(part => {
    const {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(part);
    return (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1) || (part === one && boxShadow !== 'none');
  });
  const visible = shows.some(part => {
    const {left, right, top, bottom, width} = part.getBoundingClientRect();
    return width > 0 && right > 0 && bottom > 0 && left < innerWidth && top < innerHeight;
  });
  return {path: path(one), name: `${one.tagName.toLowerCase()}${one.id && `#${one.id}`} "${one.textContent.trim().slice(0, 40)}"`, outlined, visible};
}

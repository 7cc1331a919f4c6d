// Uses the live page after a run of the demo's agent and a cut call: node --test live.mjs, with GAUGEWAY_CHROMIUM, GAUGEWAY_PAGE
// (its address) and GAUGEWAY_EXPECTED set: the attributes of a sub-agent's call, its identifiers, and the cost of the run.
import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import {Browser} from '../edge/playground/browser.mjs';

const {GAUGEWAY_CHROMIUM: CHROMIUM, GAUGEWAY_PAGE: PAGE} = process.env;
const EXPECTED = JSON.parse(process.env.GAUGEWAY_EXPECTED);
const READY = `document.querySelectorAll('#calls [data-key]').length > 0`;

let browser;
let page;

before(async () => {
  browser = await Browser.start(CHROMIUM);
  page = await browser.open(PAGE, {ready: READY});
});
after(() => browser?.close());

const texts = selector => page.value(`[...document.querySelectorAll(${JSON.stringify(selector)})].map(one => one.textContent)`);
const focused = () => page.value(`document.activeElement.textContent`);
const pairs = async id => {
  const [names, values] = [await texts(`#${id} dt`), await texts(`#${id} dd`)];
  return Object.fromEntries(names.map((name, at) => [name, values[at]]));
};

test('a run shows its status, its sub-agent, its cost and the tool that failed', async () => {
  assert.deepEqual(await texts('#runs > li .badge'), ['completed']);
  assert.deepEqual(await texts('#runs h3'), ['claude-code']);
  assert.match(await page.text('.where'), /session .* · 1 sub-agent$/);
  assert.equal(await page.text('.story'), 'run_tests of code-checker failed');
  assert.deepEqual(await texts('.tools li'), ['read_file 2 ×', 'check_files ', 'search_code 2 ×', 'run_tests failed']);
  assert.deepEqual(await texts('.sums [data-f=calls], .sums [data-f=iterations]'), ['3 iterations', '6 calls']);
  assert.equal(Number(await page.value(`document.querySelector('.sums [data-f=cost]').value`)), EXPECTED.cost);
  assert.equal(await page.text('[data-f=tools-failed]'), 'run_tests failed');
});

test('a run opens and closes with the keyboard, and shows calls, tools and sub-agents in the order of time', async () => {
  const state = () => page.value(`[document.querySelector('.run h3 button').getAttribute('aria-expanded'), document.querySelector('.steps').hidden].join()`);
  assert.equal(await state(), 'false,true');
  await page.value(`document.querySelector('.run h3 button').focus()`);
  await page.press('Enter', '\r');
  assert.equal(await state(), 'true,false');
  assert.deepEqual(await texts('.step [data-f=label]'), [
    'claude-sonnet-4-20250514', 'read_file', 'read_file', 'claude-sonnet-4-20250514', 'check_files', 'code-checker', 'claude-haiku-4-5', 'search_code', 'search_code',
    'claude-haiku-4-5', 'run_tests', 'claude-haiku-4-5', 'claude-sonnet-4-20250514',
  ]);
  assert.deepEqual(await texts('.step[data-tone=bad]  small'), ['tool, failed']);
  await page.press('Escape');
  assert.equal(await state(), 'false,true');
  assert.equal(await focused(), 'claude-code');
  await page.press('Enter', '\r');
});

test('a call of the run opens with every attribute, and Escape gives the focus back', async () => {
  const button = `[...document.querySelectorAll('.step button')].find(one => one.textContent === 'claude-haiku-4-5')`;
  await page.value(`${button}.focus()`);
  await page.press('Enter', '\r');
  assert.equal(await page.value(`document.querySelector('dialog:modal')?.id`), 'call');
  assert.equal(await page.text('#call-title'), 'claude-haiku-4-5');
  const shown = await pairs('call-attributes');
  const isSame = (one, other) => one?.replaceAll(', ', ',') === other || Number(one) === Number(other);
  for (const [name, value] of Object.entries(EXPECTED.call)) assert.ok(isSame(shown[name], value), `${name}: ${shown[name]} instead of ${value}`);
  assert.equal(Object.keys(shown).length, Object.keys(EXPECTED.call).length);
  const ids = await pairs('call-ids');
  assert.deepEqual([ids.Trace, ids.Span], [EXPECTED.trace, EXPECTED.span]);
  assert.equal(ids['Last message (hash)'], EXPECTED.call['gaugeway.prompt.hash']);
  assert.deepEqual(await texts('#call-times b'), ['Request', 'First chunk', 'First token', 'End']);
  assert.match(await page.text('#call-gap p'), /^Longest pause between two chunks: [\d.]+ ms/);
  const cost = Number(EXPECTED.call['gaugeway.cost.usd']) * 1e9;
  const amounts = await page.value(`[...document.querySelectorAll('#call-parts data')].map(one => Number(one.value))`);
  assert.ok(amounts.length > 1 && Math.abs(amounts.reduce((sum, one) => sum + one) - cost) < 10, `${amounts} of ${cost}`);
  await page.press('Escape');
  assert.equal(await page.value(`document.querySelector('dialog').open`), false);
  assert.equal(await page.value(`document.activeElement === ${button}`), true);
});

test('a cut call says client disconnect once, and is no failure', async () => {
  const row = `#calls tr:has([data-f=outcome])`;
  const words = (await texts(row)).find(text => text.startsWith('gpt-4o-mini'));
  assert.equal(words.match(/client.disconnect/g).length, 1, words);
  assert.equal(await page.text('[data-f=failed-of]'), 'none failed');
  await page.value(`document.getElementById('failed-only').click()`);
  assert.deepEqual(await texts(row), []);
  await page.value(`document.getElementById('failed-only').click()`);
  assert.equal((await texts(row)).length, 7);
});

test('cards with nothing to say are hidden', async () => {
  const visible = await page.value(`[...document.querySelectorAll('#charts .box')].filter(one => !one.hidden).map(one => one.querySelector('h2').textContent)`);
  assert.ok(visible.includes('Tools') && visible.includes('Spend by part'), visible.join());
  assert.ok(!visible.includes('What went wrong'), visible.join());
  assert.deepEqual(await texts('#charts .box:not([hidden]) ul:empty'), []);
});

test('a button says what became of its call, and an open run stays open', async () => {
  assert.deepEqual(await texts('#replays button'), ['A stream', 'An agent']);
  await page.value(`document.querySelector('#replays button').click()`);
  await page.until(`document.getElementById('sent').textContent.includes('A stream: status 200')`);
  assert.equal(await page.value(`document.querySelector('.steps').hidden`), false);
  assert.deepEqual(page.complaints, []);
});

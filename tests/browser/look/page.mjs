// The live page with calls and a run of an agent: node --test page.mjs, with GAUGEWAY_CHROMIUM, GAUGEWAY_PAGE (its address) and
// GAUGEWAY_SCREENSHOTS (a folder) set.
import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import {Browser} from '../../edge/playground/browser.mjs';
import {LOOKS, photograph, reachable, readable} from './checks.mjs';

const {GAUGEWAY_CHROMIUM: CHROMIUM, GAUGEWAY_PAGE: PAGE} = process.env;
/** The buttons that open a call of the run, and one that was refused. */
const CALLS = {
  call: `document.querySelector('#runs .step button')`,
  'refused-call': `[...document.querySelectorAll('#calls button')].find(one => one.textContent.includes('invented'))`,
};
const READY = `document.querySelectorAll('#calls [data-key]').length > 0`;

let browser;

before(async () => (browser = await Browser.start(CHROMIUM)));
after(() => browser?.close());

for (const [look, options] of Object.entries(LOOKS)) {
  test(`${look}: the page, a run and a call can be read, and used with the keyboard alone`, async () => {
    const page = await browser.open(PAGE, {...options, ready: READY});
    await photograph(page, `page-${look}`);
    await readable(page, look);
    await reachable(page, look);

    const run = `document.querySelector('#runs h3 button')`;
    const steps = `document.querySelector('#runs .steps').checkVisibility()`;
    assert.equal(await page.value(steps), false);
    await press(page, run, 'Enter');
    assert.equal(await page.value(steps), true);
    await photograph(page, `run-${look}`);
    await readable(page, `${look}, an open run`);
    await reachable(page, `${look}, an open run`);

    for (const [name, call] of Object.entries(CALLS)) {
      await press(page, call, 'Enter');
      assert.ok(await page.value(`document.querySelector('dialog:modal')`), `${name} does not open`);
      await photograph(page, `${name}-${look}`);
      await readable(page, `${look}, ${name}`);
      await reachable(page, `${look}, ${name}`);
      await page.press('Escape');
      assert.equal(await page.value(`document.querySelector('dialog:modal')`), null, `${name} does not close`);
      assert.ok(await page.value(`document.activeElement === ${call}`), `${name} does not give the focus back`);
    }
    await press(page, run, 'Escape');
    assert.equal(await page.value(steps), false);
    assert.deepEqual(page.complaints, []);
    await page.close();
  });
}

async function press(page, element, key) {
  await page.value(`${element}.focus()`);
  await page.press(key, key === 'Enter' ? '\r' : undefined);
}

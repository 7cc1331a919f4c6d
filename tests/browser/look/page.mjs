// The live page with calls and a run of an agent: node --test page.mjs, with GAUGEWAY_CHROMIUM, GAUGEWAY_PAGE (its address) and
// GAUGEWAY_SCREENSHOTS (a folder) set.
import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import {Browser} from '../../edge/playground/browser.mjs';
import {LOOKS, photograph, reachable, readable} from './checks.mjs';

const {GAUGEWAY_CHROMIUM: CHROMIUM, GAUGEWAY_PAGE: PAGE} = process.env;
const READY = `document.querySelectorAll('#calls [data-key]').length > 0`;

let browser;

before(async () => (browser = await Browser.start(CHROMIUM)));
after(() => browser?.close());

for (const [look, options] of Object.entries(LOOKS)) {
  test(`${look}: the page can be read, and used with the keyboard alone`, async () => {
    const page = await browser.open(PAGE, {...options, ready: READY});
    await photograph(page, `page-${look}`);
    await readable(page, look);
    await reachable(page, look);
    assert.deepEqual(page.complaints, []);
    await page.close();
  });
}

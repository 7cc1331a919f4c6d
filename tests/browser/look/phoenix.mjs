// A trace of an agent's run in Phoenix: node phoenix.mjs, with GAUGEWAY_CHROMIUM, GAUGEWAY_PAGE (the address of the trace),
// GAUGEWAY_SPANS (the spans' names, as JSON) and GAUGEWAY_SCREENSHOTS (a folder) set. Phoenix is only looked at.
import {after, before, test} from 'node:test';
import {Browser} from '../../edge/playground/browser.mjs';
import {LOOKS, photograph} from './checks.mjs';

const {GAUGEWAY_CHROMIUM: CHROMIUM, GAUGEWAY_PAGE: PAGE, GAUGEWAY_SPANS: SPANS} = process.env;

let browser;

before(async () => (browser = await Browser.start(CHROMIUM)));
after(() => browser?.close());

for (const look of ['light', 'dark', 'narrow']) {
  test(`${look}: Phoenix shows the tree of the run`, async () => {
    const options = LOOKS[look];
    const ready = `${SPANS}.every(name => document.body.innerText.includes(name)) && document.body.innerText.includes('Attributes')`;
    // Phoenix is dark unless somebody has chosen another theme.
    const script = `localStorage.setItem('arize-phoenix-theme', '${options.scheme ?? 'light'}')`;
    const page = await browser.open(PAGE, {...options, script, ready});
    await photograph(page, `phoenix-${look}`);
    await page.close();
  });
}

// The pictures of the manuals, as wide as GitHub shows them: node --test pictures.mjs, with GAUGEWAY_CHROMIUM, GAUGEWAY_PICTURES
// (their folder) and GAUGEWAY_SCREENSHOTS (a folder) set.
import assert from 'node:assert/strict';
import {readFile, readdir} from 'node:fs/promises';
import {basename, join} from 'node:path';
import {after, before, test} from 'node:test';
import {Browser} from '../../edge/playground/browser.mjs';
import {LOOKS, photograph, readable, written} from './checks.mjs';

const {GAUGEWAY_CHROMIUM: CHROMIUM, GAUGEWAY_PICTURES: FOLDER} = process.env;

let browser;

before(async () => (browser = await Browser.start(CHROMIUM)));
after(() => browser?.close());

for (const [look, options] of Object.entries({...LOOKS, light: {width: 830}, dark: {...LOOKS.dark, width: 830}})) {
  test(`${look}: every text of the pictures fits and has enough contrast`, async () => {
    const files = (await readdir(FOLDER)).filter(file => file.endsWith('.svg'));
    assert.ok(files.length > 1);
    for (const file of files) {
      const drawing = await readFile(join(FOLDER, file), 'utf8');
      const page = await browser.open(written(`<body style="margin:0">${drawing}`), {...options, ready: `document.querySelector('svg text')`});
      await photograph(page, `${basename(file, '.svg')}-${look}`);
      await readable(page, file);
      const smallest = `Math.min(...[...document.querySelectorAll('svg text, svg tspan')].map(one => parseFloat(getComputedStyle(one).fontSize)))`;
      assert.ok((await page.value(smallest)) >= 12, `${file} has small text`);
      await page.close();
    }
  });
}

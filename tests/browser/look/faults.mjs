// Pages with planted faults, each of which the checks must find: node --test faults.mjs, with GAUGEWAY_CHROMIUM set.
import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import {Browser} from '../../edge/playground/browser.mjs';
import {LOOKS, reachable, readable, written} from './checks.mjs';

const SOUND = `<h1>Calls</h1><p style="color:#777;font-size:24px">large</p><button>Send</button> <a href="#end">End</a>
  <table><tr><td><a href="#one">gpt-4o</a><td>$0.01</table>
  <div style="width:90px;overflow:auto" tabindex="0"><p style="width:900px">scrolls</p></div>
  <details><summary>More</summary><input aria-label="hidden"></details><svg viewBox="0 0 90 9" fill="currentColor"><text x="3" y="8" font-size="9">svg</text></svg>`;
const FAULTS = [
  [/has 9\d\d pixels in/, '<p style="width:900px">wide</p>'],
  [/does not fit/, '<p style="width:60px;white-space:nowrap">claude-sonnet-4-5-20250929</p>'],
  [/does not fit/, '<p style="width:60px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap">claude-sonnet-4-5-20250929</p>'],
  [/does not fit/, '<p style="height:9px;overflow:hidden">two<br>lines</p>'],
  [/breaks the word completed/, '<p style="width:60px;overflow-wrap:anywhere">is completed</p>'],
  [/leaves its drawing/, '<svg viewBox="0 0 90 9" width="90"><text x="80" y="8" font-size="9">claude-sonnet</text></svg>'],
  [/leaves its box/, '<svg viewBox="0 0 90 9" width="90"><rect width="30" height="9" fill="#fff"/><text x="3" y="8" font-size="9">claude</text></svg>'],
  [/too little contrast[^]*p 4\.4\d "grey"/, '<p style="color:#777">grey</p>'],
  [/too little contrast/, '<p style="opacity:.5">half</p>'],
  [/too little contrast/, '<p style="color:#fff;background:linear-gradient(90deg,#000,#ccc)">gradient</p>'],
  [/too little contrast/, '<div style="position:relative"><i style="position:absolute;inset:0;background:#222"></i><b style="position:relative">bar</b></div>'],
  [/too little contrast/, '<svg viewBox="0 0 90 9"><rect width="90" height="9" fill="#222"/><text x="3" y="8" font-size="9">svg</text></svg>'],
  [/cannot be seen/, '<button style="outline:none">plain</button>'],
  [/outside of the window/, '<button aria-label="away" style="position:fixed;left:-99px;width:9px"></button>'],
  [/only a mouse/, '<div style="cursor:pointer" onclick="1">row</div>'],
  [/does not reach/, '<a href="#x" onfocus="this.nextSibling.nextSibling.focus()">skips</a><a href="#y">skipped</a><a href="#z">end</a>'],
];

let browser;
let page;

before(async () => (browser = await Browser.start(process.env.GAUGEWAY_CHROMIUM)));
after(() => browser?.close());

const open = async options => (page = await browser.open(written('<style>:focus-visible{outline:2px solid}</style>'), {...options, ready: 'true'}));

async function check(body) {
  await page.value(`document.body.innerHTML = ${JSON.stringify(body)}`);
  await readable(page, 'here');
  await reachable(page, 'here');
}

for (const [look, options] of Object.entries(LOOKS)) {
  test(`${look}: a sound page passes`, async () => {
    await open(options);
    await check(look.endsWith('dark') ? SOUND.replace('#777', '#999') : SOUND);
  });
}

test('every planted fault is found', async () => {
  await open(LOOKS.narrow);
  for (const [fault, body] of FAULTS) {
    await assert.rejects(check(SOUND + body), error => assert.match(error.message, fault) ?? true, `not found: ${body}`);
  }
});

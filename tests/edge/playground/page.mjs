// Tests the playground in Chromium: node --test page.mjs, with GAUGEWAY_EDGE, GAUGEWAY_CHROMIUM, GAUGEWAY_FIXTURES and
// GAUGEWAY_SCREENSHOTS (a folder) set.
import assert from 'node:assert/strict';
import {readFile, readdir} from 'node:fs/promises';
import http from 'node:http';
import {join} from 'node:path';
import {after, afterEach, before, test} from 'node:test';
import {LOOKS, photograph, reachable, readable} from '../../browser/look/checks.mjs';
import {Browser, serve} from './browser.mjs';

const {GAUGEWAY_EDGE: PACKAGE, GAUGEWAY_CHROMIUM: CHROMIUM, GAUGEWAY_FIXTURES: FIXTURES} = process.env;
const TIMING = ['gen_ai.response.time_to_first_chunk', 'gaugeway.time_to_first_token', 'gaugeway.response.chunk_gap.max'];

let browser;
let server;
let page;

before(async () => {
  server = await serve(PACKAGE);
  browser = await Browser.start(CHROMIUM);
});

after(async () => {
  await browser?.close();
  server?.close();
});

afterEach(() => {
  const complaints = page?.complaints ?? [];
  page = undefined;
  assert.deepEqual(complaints, []);
});

const open = async options => (page = await browser.open(`${server.url}/playground/index.html`, options));
const observation = async () => {
  const seen = JSON.parse(await page.text('#observation'));
  for (const key of TIMING) delete seen[key];
  return seen;
};
const expected = async name => {
  const seen = JSON.parse(await readFile(join(FIXTURES, name, 'observation.json'), 'utf8'));
  // The fixtures are HTTP, and the playground reads a pasted call as HTTPS.
  if (seen['server.port'] === 80) seen['server.port'] = 443;
  return seen;
};
const written = (name, part) => readFile(join(FIXTURES, name, `${part}.http`), 'utf8');
const examples = () => page.value(`[...document.querySelectorAll('[data-example]')].map(one => one.dataset.example)`);
const choose = async (id, value) => {
  await page.value(`{const one = document.getElementById('${id}'); one.value = '${value}'; one.dispatchEvent(new Event('change'))}`);
  await page.settled();
};
const drop = (name, text, onto = 'body') =>
  page.value(`{
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([${JSON.stringify(text)}], '${name}'));
    document.querySelector('${onto}').dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true}));
  }`);

test('every example gives its observation with every cut', async () => {
  await open();
  const names = await examples();
  assert.ok(names.length >= 4);
  for (const name of names) {
    await page.value(`document.querySelector('[data-example="${name}"]').click()`);
    await page.settled();
    for (const cut of ['1', '7', '64', '1024', 'events', 'whole']) {
      await choose('cut', cut);
      assert.deepEqual(await observation(), await expected(name), `${name}, cut ${cut}`);
    }
  }
});

test('each attribute is shown at its byte and at its step', async () => {
  await open();
  const body = (await written('openai-chat/stream-include-usage', 'response')).split('\n\n').slice(1).join('\n\n');
  const count = body.indexOf('"completion_tokens":8');
  const byte = Buffer.byteLength(body.slice(0, count)) + '"completion_tokens":8,'.length;
  const row = '[data-key="gen_ai.usage.output_tokens"]';
  const link = await page.text(`${row} a`);
  assert.match(link, new RegExp(`^response byte ${byte.toLocaleString('en')} \\(\\d+\\)$`));
  const mark = await page.value(`document.querySelector('${row} a').getAttribute('href')`);
  assert.equal(await page.text(mark), '"completion_tokens":8,');
  const whole = `{const copy = document.getElementById('response-body').cloneNode(true); copy.querySelectorAll('.pin').forEach(pin => pin.remove()); copy.textContent}`;
  assert.equal(await page.value(whole), body);

  const step = at => page.value(`{const step = document.getElementById('step'); step.value = ${at}; step.dispatchEvent(new Event('input'))}`);
  const known = async () => Number(await page.value(`document.querySelectorAll('#attributes tr:not(.later)').length`));
  const all = await known();
  const request = (await written('openai-chat/stream-include-usage', 'request')).split('\n\n').slice(1).join('\n\n');
  // The steps include both heads and the end of the request.
  await step(request.length + 2 + byte - 1);
  assert.equal(await page.text(`${row} td`), 'not yet');
  await step(request.length + 2 + byte);
  assert.equal(await page.text(`${row} td`), '8');
  await step(0);
  assert.ok((await known()) < all / 3 && (await known()) > 0);

  const metrics = await page.value(`[...document.querySelectorAll('#metrics code')].map(one => one.textContent)`);
  assert.ok(metrics.includes('gaugeway_output_tokens_total 8') && metrics.includes('gaugeway_cost_nanousd_total 7650'), metrics.join());
  const span = JSON.parse(await page.text('#span'));
  assert.equal(span.name, 'chat gpt-4o-mini');
  assert.ok(span.attributes.some(({key, value}) => key === 'gen_ai.usage.output_tokens' && value.intValue === '8'));
  assert.match(await page.text('#sum'), /\$0\.00000765/);
});

test('a configuration takes effect, and its errors are shown at their keys', async () => {
  await open();
  await page.type('config', '{\n "prices": {"gpt-4o-mini": {"input": 1000000, "output": 0}}\n}');
  assert.equal((await observation())['gaugeway.cost.usd'], 19);
  for (const [text, key, words] of [
    ['{\n "agent": {},\n "label": 1\n}', '"label"', /^label: unknown key; known here: agent/],
    ['{"prices": {"gpt-4.1": {"output": 1, "input": "x"}}}', '"input"', /^prices\.gpt-4\.1\.input: must be/],
    ['{"apis": [{"host": "a", "api": "openai-chat"},\n {"api": "openai", "host": "b"}]}', '"api"', /^apis\[1\]\.api: there is no API/],
    ['{"agent": {"max_iterations": }}', '}', /^The configuration is not JSON/],
    ['{"route": "x"}', '"route"', /^route: not a key/],
  ]) {
    await page.type('config', text);
    assert.match(await page.text('#config-problem p'), words);
    assert.equal(await page.text('#config-problem mark'), key);
    assert.equal(await page.value(`document.getElementById('config').getAttribute('aria-invalid')`), 'true');
    assert.equal(await page.value(`document.getElementById('seen').hidden`), true);
    await page.value(`document.querySelector('#config-problem button').click()`);
    const selected = `{const {value, selectionStart, selectionEnd} = document.activeElement; value.slice(selectionStart, selectionEnd)}`;
    assert.equal(await page.value(selected), key);
  }
  await page.type('config', '{"apis": [{"host": "a", "api": "openai-chat"},\n {"api": "openai", "host": "b"}]}');
  assert.equal(await page.text('#config-problem button'), 'Go to line 2');
  await page.type('config', '{}');
  assert.equal(await page.text('#config-problem'), '');
  assert.deepEqual(await observation(), await expected('openai-chat/stream-include-usage'));
});

test('requests and responses can be pasted or dropped, and errors are shown next to them', async () => {
  await open();
  const name = 'anthropic-messages/stream-cache-write-for-an-hour';
  await page.type('request', await written(name, 'request'));
  await page.type('response', await written(name, 'response'));
  assert.deepEqual(await observation(), await expected(name));

  await page.type('response', (await written(name, 'response')).split('\n\n').slice(1).join('\n\n'));
  assert.match(await page.text('#response-note'), /^No headers: read as status 200 and text\/event-stream/);
  assert.deepEqual(await observation(), await expected(name));
  await page.type('request', '{"model": "gpt-4o"}');
  assert.match(await page.text('#request-note'), /^The request has no first line/);
  await page.type('request', 'POST /v1/messages\n\n{}');
  assert.match(await page.text('#request-note'), /^\/v1\/messages has no host/);
  await page.type('request', 'GET https://example.com/index.html\n\n');
  assert.match(await page.text('#status'), /^No LLM traffic/);
  await page.type('request', '');
  await page.type('response', '');

  for (const part of ['request', 'response']) {
    const other = `${await written('openai-chat/stream-include-usage', part)}`;
    await drop(`${part}.http`, other);
    await page.until(`document.getElementById('${part}').value.length === ${other.length}`);
  }
  await page.settled();
  assert.deepEqual(await observation(), await expected('openai-chat/stream-include-usage'));
});

test('a pasted curl command becomes its request without its secrets, and a typed one is read as it is', async () => {
  await open();
  const command = `curl 'https://api.openai.com/v1/chat/completions?api_key=sk-secret' \\\n  -H 'Content-Type: application/json' -H 'Authorization: Bearer sk-secret' \\\n  --data-raw $'{"model":"gpt-4.1","stream":true,"messages":[{"role":"user","content":"it\\'s"}]}' --compressed`;
  const paste = text => page.value(`{
    const clipboardData = new DataTransfer();
    clipboardData.setData('text', ${JSON.stringify(text)});
    document.getElementById('request').dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true}));
  }`);
  await paste(command);
  await page.until(`document.getElementById('response').value === ''`);
  await page.settled();
  const request = await page.value(`document.getElementById('request').value`);
  assert.match(request, /^POST https:\/\/api\.openai\.com\/v1\/chat\/completions\?api_key=hidden\ncontent-type: application\/json\nauthorization: hidden\n\n\{"model":"gpt-4\.1"/);
  assert.ok(!request.includes('sk-secret') && request.includes(`"it's"`), request);
  assert.match(await page.text('#request-note'), /^Converted from a curl command/);
  assert.equal((await observation())['gen_ai.request.model'], 'gpt-4.1');

  // A command that cannot be read stays, but not its secrets.
  await paste(command.replace(/--data-raw .*/, '-d @body.json'));
  await page.settled();
  const kept = await page.value(`document.getElementById('request').value`);
  assert.ok(kept.startsWith('curl ') && kept.endsWith('-d @body.json') && !kept.includes('sk-secret'), kept);
  assert.match(await page.text('#request-note'), /^The body is in the file body\.json/);

  await page.type('request', command);
  assert.equal(await page.text('#request-note'), 'Read as a curl command.');
  assert.equal((await observation())['gen_ai.request.model'], 'gpt-4.1');
  await page.type('request', `curl https://api.openai.com/v1/chat/completions -d @body.json`);
  assert.match(await page.text('#request-note'), /^The body is in the file body\.json/);
  await drop('call.sh', command);
  await page.until(`document.getElementById('request').value.startsWith('POST ')`);
});

test('a stream without token counts says which option it lacks', async () => {
  await open();
  const hint = () => page.value(`document.getElementById('hint').hidden ? '' : document.getElementById('hint').textContent`);
  assert.equal(await hint(), '');
  const name = 'openai-chat/stream-without-usage';
  await page.value(`document.querySelector('[data-example="${name}"]').click()`);
  await page.settled();
  assert.match(await hint(), /^No token counts, so no cost: .*"stream_options": \{"include_usage": true\}.*stream_usage\.inject/);
  await page.type('request', (await written(name, 'request')).replace(/\{/, '{"stream_options": {"include_usage": true}, '));
  assert.match(await hint(), /^No token counts, although the request sets/);
});

test('the marks of both bodies stay in sight while the attributes scroll', async () => {
  await open();
  const ticks = await page.value(`[...document.querySelectorAll('.strip')].map(strip => [...strip.children].map(tick => tick.getBoundingClientRect().top - strip.getBoundingClientRect().top >= 0 && tick.getBoundingClientRect().bottom <= strip.getBoundingClientRect().bottom + 1))`);
  assert.ok(ticks.every(own => own.length && own.every(Boolean)), JSON.stringify(ticks));
  assert.equal(ticks.flat().length, await page.value(`document.querySelectorAll('pre mark').length`));
  assert.match(await page.text('.pin'), /^1 \w+/);

  const row = `[...document.querySelectorAll('#attributes tr:has(a)')].at(-1)`;
  await page.value(`${row}.scrollIntoView({block: 'end'})`);
  const before = await page.value(`scrollY`);
  assert.ok(before > 0);
  await page.value(`${row}.querySelector('a').click()`);
  assert.equal(await page.value(`scrollY`), before);
  const [mark, pane] = await page.value(`[document.querySelector('mark.aimed'), document.querySelector('mark.aimed').closest('pre')].map(one => ({top: one.getBoundingClientRect().top, bottom: one.getBoundingClientRect().bottom}))`);
  assert.ok(pane.top >= 0 && mark.top >= pane.top - 1 && mark.bottom <= pane.bottom + 1, JSON.stringify([mark, pane]));
});

test('the LLM calls of a HAR file are listed, without their secrets', async () => {
  await open();
  const names = ['openai-chat/unary', 'openai-responses/stream-text'];
  const entries = [{request: {method: 'GET', url: 'https://example.com/', headers: []}, response: {status: 200, headers: [], content: {text: '<p>'}}}];
  for (const [at, name] of names.entries()) {
    const [request, response] = await Promise.all(['request', 'response'].map(part => written(name, part)));
    const [head, ...body] = request.split('\n\n');
    const [first, ...lines] = head.split('\n');
    const headers = lines.map(line => ({name: line.split(': ')[0], value: line.split(': ')[1]}));
    const host = headers.find(one => one.name === 'host').value;
    headers.push({name: 'Authorization', value: 'Bearer sk-secret'}, {name: ':authority', value: host});
    const [answerHead, ...answer] = response.split('\n\n');
    const [status, ...answerLines] = answerHead.split('\n');
    const answerHeaders = answerLines.map(line => ({name: line.split(': ')[0], value: line.split(': ')[1]}));
    answerHeaders.push({name: 'content-encoding', value: 'br'});
    const text = answer.join('\n\n');
    const content = at ? {text: Buffer.from(text).toString('base64'), encoding: 'base64'} : {text};
    entries.push({
      request: {method: 'POST', url: `https://${host}${first.split(' ')[1]}?key=secret`, headers, postData: {text: body.join('\n\n')}},
      response: {status: Number(status), headers: answerHeaders, content},
    });
  }
  await drop('calls.har', JSON.stringify({log: {entries}}));
  await page.until(`document.getElementById('entries').length === 2`);
  for (const [at, name] of names.entries()) {
    await choose('entries', at);
    assert.deepEqual(await observation(), await expected(name), name);
    assert.ok(!(await page.value(`document.getElementById('request').value`)).includes('secret'));
  }
  await drop('calls.har', JSON.stringify({log: {entries: entries.slice(0, 1)}}));
  await page.until(`!document.getElementById('problem').hidden`);
  assert.match(await page.text('#problem'), /^None of the 1 calls/);
  await drop('calls.har', JSON.stringify({log: {entries: [{request: entries[0].request, response: null}]}}));
  await page.until(`document.getElementById('problem').textContent === 'No call in the HAR file can be read.'`);
});

test('a body of megabytes is read in larger pieces, and its usage is found', async () => {
  await open();
  const text = 'x'.repeat(5 << 20);
  const answer = JSON.stringify({id: 'c', model: 'gpt-4o-mini', choices: [{message: {content: text}, finish_reason: 'stop'}], usage: {prompt_tokens: 3, completion_tokens: 1}});
  await drop('response.http', `200\ncontent-type: application/json\n\n${answer}`);
  await page.until(`document.getElementById('attributes').textContent.includes('${text.length}')`);
  await page.settled();
  assert.match(await page.text('#grain'), /^Read in pieces of 26\d bytes/);
  assert.equal((await observation())['gen_ai.usage.output_tokens'], 1);
  assert.ok((await page.text('#response-body')).length < 5000);
  assert.match(await page.text('#response-body'), / … [\d,]+ bytes … /);
});

test('the page can be used with the keyboard alone', async () => {
  await open();
  const focused = () => page.value(`document.activeElement.id || document.activeElement.dataset?.example || document.activeElement.textContent`);
  const until = async wanted => {
    for (let left = 60; left; left--) {
      await page.press('Tab');
      if ((await focused()) === wanted) return;
    }
    assert.fail(`Tab did not reach ${wanted}`);
  };
  await until('openai-chat/malformed-json');
  await page.press('Enter', '\r');
  await page.settled();
  assert.deepEqual(await observation(), await expected('openai-chat/malformed-json'));
  await until('file');
  await until('request');
  await until('cut');
  await page.press('End');
  await page.settled();
  assert.equal(await page.value(`document.getElementById('cut').value`), 'whole');
  await until('config');
  await page.send('Input.insertText', {text: ' '});
  await page.settled();
  await until('step');
  await page.press('Home');
  assert.equal(await page.text('#step-name'), 'with the request’s head');
  await until('request-body');
  await until('Span as OTLP');
  await page.press('Enter', '\r');
  assert.equal(await page.value(`document.querySelector('details').open`), true);
  const outline = `{const {outlineStyle, outlineWidth} = getComputedStyle(document.activeElement); outlineStyle !== 'none' && parseFloat(outlineWidth) > 1}`;
  assert.ok(await page.value(outline), 'the focused element has no visible outline');
});

test('every control has a name', async () => {
  await open();
  await page.type('config', '{"label": 1}');
  const named = [];
  for (const _ of [1, 2]) {
    const {nodes} = await page.send('Accessibility.getFullAXTree');
    const controls = nodes.filter(({ignored, role}) => !ignored && /^(button|combobox|textbox|slider|link|region|table|disclosureTriangle)$/i.test(role?.value));
    for (const {role, name} of controls) {
      assert.ok(name?.value?.trim(), `a ${role.value} without a name`);
      named.push(role.value);
    }
    await page.type('config', '{}');
  }
  for (const role of ['button', 'combobox', 'textbox', 'slider', 'link', 'region', 'table']) assert.ok(named.includes(role), `no ${role} among ${new Set(named)}`);
});

for (const [look, options] of Object.entries(LOOKS)) {
  test(`${look}: every text fits and has enough contrast, and Tab reaches everything`, async () => {
    await open(options);
    for (const name of await examples()) {
      await page.value(`document.querySelector('[data-example="${name}"]').click()`);
      await page.settled();
      await readable(page, name);
    }
    await photograph(page, `playground-${look}`);
    await page.value(`document.querySelectorAll('details').forEach(one => (one.open = true))`);
    await page.value(`location.hash = document.querySelector('#attributes a').getAttribute('href')`);
    await page.value(`{const step = document.getElementById('step'); step.value = 40; step.dispatchEvent(new Event('input'))}`);
    await readable(page, 'at a middle step');
    await reachable(page, 'at a middle step');
    await page.type('config', '{"label": {"averyveryveryverylongkeythatdoesnotfitintoanylineofaphone": 1}}');
    await readable(page, 'with an error');
  });
}

test('after it has loaded, the page makes no requests and cannot make any', async () => {
  let reached = 0;
  const elsewhere = http.createServer((_, response) => response.end(String(++reached)));
  await new Promise(settle => elsewhere.listen(0, '127.0.0.1', settle));
  try {
    await open();
    const {length} = page.requests;
    assert.ok(length > 10 && page.requests.every(url => url.startsWith(server.url) || url.startsWith('data:')), page.requests.join('\n'));
    const asked = server.asked.length;
    for (const name of await examples()) {
      await page.value(`document.querySelector('[data-example="${name}"]').click()`);
      await page.settled();
    }
    await page.type('request', `POST http://127.0.0.1:${elsewhere.address().port}/v1/chat/completions\n\n{"model":"gpt-4o"}`);
    await page.type('response', '{"model":"<img src=/stolen>","usage":{}}');
    await page.value(`document.querySelector('#attributes a').click()`);
    await new Promise(settle => setTimeout(settle, 300));
    assert.equal(server.asked.length, asked, server.asked.slice(asked).join());
    assert.deepEqual(page.requests.slice(length), []);
    assert.equal(await page.value(`document.querySelectorAll('img').length`), 0);

    const there = `http://127.0.0.1:${elsewhere.address().port}`;
    const policy = `new Promise(settle => addEventListener('securitypolicyviolation', ({effectiveDirective}) => settle(effectiveDirective), {once: true}))`;
    for (const [directive, attempt] of [
      ['connect-src', `fetch('${there}/fetch').catch(() => {})`],
      ['connect-src', `navigator.sendBeacon('${there}/beacon', 'x')`],
      ['connect-src', `new WebSocket('${there.replace('http', 'ws')}')`],
      ['img-src', `new Image().src = '${there}/image'`],
      ['form-action', `Object.assign(document.body.appendChild(document.createElement('form')), {action: '${there}/form', method: 'post'}).submit()`],
    ]) {
      assert.equal(await page.value(`{const refused = ${policy}; try { ${attempt} } catch {} refused}`), directive, attempt);
    }
    assert.equal(reached, 0);
    // The browser logs each blocked request.
    page.complaints.splice(0);
  } finally {
    elsewhere.close();
  }
});

test('the files refer to no other site', async () => {
  for (const file of await readdir(join(PACKAGE, 'playground'))) {
    if (!/\.(html|css|js)$/.test(file)) continue;
    const text = await readFile(join(PACKAGE, 'playground', file), 'utf8');
    assert.ok(!/(?:src|href)="(?:https?:)?\/\/|@import|\burl\(/.test(text), file);
  }
});

// Every type of request body must be observed and must arrive unchanged.
import assert from 'node:assert/strict';
import test from 'node:test';
import {observe, observeRequest, observeResponse} from './gaugeway/node.js';

const URL_ = 'https://api.openai.com/v1/chat/completions';
const BODY = JSON.stringify({model: 'gpt-4o', messages: [{role: 'user', content: 'é😀'.repeat(30_000)}]});
const ANSWER = '{"id":"c","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}';
const bytes = new TextEncoder().encode(BODY);
const stream = () => new Blob([BODY]).stream();

async function upstream(input, init) {
  const received = await new Request(input, init).text();
  return Response.json(JSON.parse(ANSWER), {headers: {'x-received': String(received === BODY)}});
}

async function seen(input, init) {
  let observation;
  const response = await observe(upstream, {onObservation: o => (observation = o)})(input, init);
  assert.equal(response.headers.get('x-received'), 'true');
  assert.equal((await response.json()).id, 'c');
  return observation;
}

const hash = (await seen(URL_, {method: 'POST', body: BODY}))['gaugeway.prompt.hash'];

for (const [name, body] of Object.entries({bytes, buffer: bytes.buffer, view: new DataView(bytes.buffer), blob: new Blob([BODY])})) {
  test(`a body that is ${name} is observed and arrives unchanged`, async () => {
    assert.equal((await seen(URL_, {method: 'POST', body}))['gaugeway.prompt.hash'], hash);
  });
}

test('a stream and a Request with a body are read as they are sent', async () => {
  for (const call of [
    [URL_, {method: 'POST', body: stream(), duplex: 'half'}],
    [new Request(URL_, {method: 'POST', body: BODY})],
    [new Request(URL_, {method: 'POST', body: stream(), duplex: 'half'}), {headers: {accept: '*/*'}}],
  ]) {
    assert.equal((await seen(...call))['gaugeway.prompt.hash'], hash);
  }
});

test('a form is read from a copy, because its boundary is chosen when it is sent', async () => {
  const form = new FormData();
  form.set('model', 'whisper-1');
  form.set('file', new Blob(['x'.repeat(200_000)]), 'a.wav');
  let observation;
  const send = async (input, init) => {
    assert.equal((await new Request(input, init).formData()).get('file').size, 200_000);
    return new Response('{"text":"hi"}', {headers: {'content-type': 'application/json'}});
  };
  const observed = observe(send, {onObservation: o => (observation = o)});
  await (await observed('https://api.openai.com/v1/audio/transcriptions', {method: 'POST', body: form})).text();
  assert.equal(observation['gen_ai.request.model'], 'whisper-1');
});

test('a request and a response that are observed separately are one exchange', async () => {
  let observation;
  const options = {onObservation: o => (observation = o)};
  const request = observeRequest(new Request(URL_, {method: 'POST', body: BODY}), options);
  const response = observeResponse(request, await upstream(request), options);
  await response.text();
  assert.equal(observation['gaugeway.prompt.hash'], hash);
  assert.equal(observation['gen_ai.usage.input_tokens'], 3);
});

test('an error of fetch is thrown and reported, an error of onObservation is not thrown', async () => {
  const told = [];
  const faults = [];
  const options = {onObservation: o => told.push(o['gaugeway.outcome']), onError: error => faults.push(error)};
  const fails = error => observe(() => Promise.reject(error), options)(URL_, {method: 'POST', body: BODY});
  await assert.rejects(fails(new TypeError('fetch failed')), /fetch failed/);
  await assert.rejects(fails(new DOMException('late', 'TimeoutError')), /late/);
  await assert.rejects(fails(new DOMException('gone', 'AbortError')), /gone/);
  assert.deepEqual(told, ['upstream_reset', 'timeout', 'client_disconnect']);
  const onObservation = () => {
    throw new Error('mine');
  };
  const response = await observe(upstream, {...options, onObservation})(URL_, {method: 'POST', body: BODY});
  assert.equal((await response.json()).id, 'c');
  await new Promise(setImmediate);
  assert.deepEqual(faults.map(String), ['Error: mine']);
});

test('a slow reader applies backpressure to the source', async () => {
  let made = 0;
  const endless = new ReadableStream({pull: c => c.enqueue(new TextEncoder().encode(`data: ${made++}\n\n`))}, {highWaterMark: 0});
  const send = async () => new Response(endless, {headers: {'content-type': 'text/event-stream'}});
  const response = await observe(send)(URL_, {method: 'POST', body: BODY});
  const reader = response.body.getReader();
  await reader.read();
  await new Promise(settle => setTimeout(settle, 50));
  assert.ok(made <= 2, `${made} chunks were taken for one`);
  await reader.cancel();
});

test('an invalid configuration throws an error with the path of the key', () => {
  assert.throws(() => observe(fetch, {label: 1}), /^TypeError: gaugeway: label: unknown key; known here: agent/);
});

// A stream's chunks through a plain stream and through the observer, in turns: node bench.mjs, beside the package in ./gaugeway.
import {observe} from './gaugeway/node.js';

const CHUNKS = 20_000;
const chunk = new TextEncoder().encode(
  'data: {"id":"c","model":"gpt-4o","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}\n\n',
);
const answer = () => {
  let left = CHUNKS;
  const pull = c => (left-- ? c.enqueue(chunk.slice()) : c.close());
  return new Response(new ReadableStream({pull}, {highWaterMark: 0}), {headers: {'content-type': 'text/event-stream'}});
};
const plain = async () => {
  const reader = answer().body.getReader();
  const pull = async c => {
    const {done, value} = await reader.read();
    done ? c.close() : c.enqueue(value);
  };
  return new Response(new ReadableStream({pull}, {highWaterMark: 0}));
};
const observed = observe(async () => answer());
const call = () => observed('https://api.openai.com/v1/chat/completions', {method: 'POST', body: '{"model":"gpt-4o"}'});

const best = [Infinity, Infinity];
for (let round = 0; round < 7; round++) {
  for (const [at, make] of [plain, call].entries()) {
    const start = performance.now();
    const reader = (await make()).body.getReader();
    while (!(await reader.read()).done);
    best[at] = Math.min(best[at], performance.now() - start);
  }
}
const [without, with_] = best.map(ms => (ms * 1000) / CHUNKS);
console.log(`${with_.toFixed(2)} us a chunk, ${without.toFixed(2)} through a plain stream: ${(with_ / without).toFixed(2)} times`);

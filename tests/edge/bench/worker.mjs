// The work in a Worker, and a proxy. A Worker's clock does not advance while it computes, so the client measures the
// time.
import * as gaugeway from './gaugeway/workerd.js';
import {work} from './work.mjs';

const run = work(gaugeway);
const proxies = {pass: fetch, script, watch: gaugeway.observe(fetch)};

export default {
  async fetch(request) {
    const {pathname, searchParams} = new URL(request.url);
    const [way, chunks] = pathname.slice(1).split('/');
    const proxy = proxies[way];
    if (proxy) return proxy(searchParams.get('upstream'), {method: 'POST', body: '{"model":"gpt-4o"}'});
    await run(way, Number(chunks));
    return new Response('done');
  },
};

/** The cost of a script that only touches the chunks of a body. */
async function script(url, init) {
  const response = await fetch(url, init);
  const reader = response.body.getReader();
  const pull = async controller => {
    const {done, value} = await reader.read();
    done ? controller.close() : controller.enqueue(value);
  };
  return new Response(new ReadableStream({pull}, {highWaterMark: 0}), response);
}

// An LLM proxy: set a client's base URL to https://<worker>/openai/v1 (or /anthropic, /gemini, /agents/v1).
//
// Streams pass through without delay. The cost of a call is known at its end. A response in one piece is held until
// then and gets the cost in its headers. The cost of a stream is only in the log, the traces and the dataset, because
// its headers were sent before.
import {observe} from 'gaugeway';
import {analyticsEngine} from 'gaugeway/analytics-engine';
import {log} from 'gaugeway/log';
import {metrics, spans} from 'gaugeway/otlp';
import {routes} from './routes.js';

export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    const [, name, rest] = /^\/([^/]+)(\/.*)$/.exec(url.pathname) ?? [];
    if (!name || !Object.hasOwn(routes, name)) return new Response('There is no such route.\n', {status: 404});
    const {upstream, options} = routes[name];

    let seen;
    const told = destinations(env);
    const observed = observe(fetch, {
      ...options,
      route: name,
      waitUntil: promise => context.waitUntil(promise),
      onObservation(observation, details) {
        seen = observation;
        // A failed exporter does not stop the others.
        return Promise.allSettled(told.map(async tell => tell(observation, details)));
      },
    });
    const response = await observed(new Request(upstream + rest + url.search, request), {redirect: 'manual'});
    return isStream(response) ? response : withCost(response, () => seen);
  },
};

function destinations(env) {
  const all = [log()];
  if (env.OTLP_ENDPOINT) {
    const collector = {endpoint: env.OTLP_ENDPOINT, resource: {'service.name': 'llm-proxy'}};
    all.push(spans(collector), metrics(collector));
  }
  if (env.LLM_CALLS) all.push(analyticsEngine(env.LLM_CALLS));
  return all;
}

/** Returns true if the response is streamed or may be too large to hold. Only a response of type JSON is held. */
function isStream({headers}) {
  return !/^application\/json\b/i.test(headers.get('content-type') ?? '') || Number(headers.get('content-length')) > 1 << 20;
}

async function withCost(response, seen) {
  const body = await response.arrayBuffer();
  const headers = new Headers(response.headers);
  // The body has already been decoded.
  headers.delete('content-encoding');
  headers.delete('content-length');
  const {'gaugeway.cost.usd': cost, 'gen_ai.usage.input_tokens': input, 'gen_ai.usage.output_tokens': output} = seen() ?? {};
  const said = {'x-llm-cost-usd': cost, 'x-llm-input-tokens': input, 'x-llm-output-tokens': output};
  for (const [name, value] of Object.entries(said)) if (value !== undefined) headers.set(name, String(value));
  return new Response(body.byteLength ? body : null, {status: response.status, statusText: response.statusText, headers});
}

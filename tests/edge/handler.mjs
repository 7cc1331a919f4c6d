// The handler that every runtime runs: a proxy in front of the upstream that prints each observation as a line of JSON.
import {initSync} from './gaugeway/core.js';

export function handler({observe}, helpers, {upstream, options}) {
  const lines = (observation, details) => {
    const id = details.headers.get('x-request-id');
    console.log(JSON.stringify({id, observation, samples: details.samples()}));
  };
  const passed = (input, init) => {
    const {pathname, search} = new URL(input.url);
    return fetch(new Request(upstream + pathname + search, input), {...init, redirect: 'manual'});
  };
  return (request, waitUntil) => {
    if (new URL(request.url).pathname === '/memory') return new Response(String(initSync().memory.buffer.byteLength));
    const told = helpers({lines});
    const all = {
      ...options,
      waitUntil,
      onError: error => console.log(JSON.stringify({error: String(error?.stack ?? error)})),
      onObservation: (...seen) => Promise.all(told.map(tell => tell(...seen))),
    };
    // A request to the proxy's port is observed as a request to the provider.
    return observe(passed, all)(request);
  };
}

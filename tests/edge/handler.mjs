// What every runtime is asked to do: stand before the upstream, pass everything on, and tell each observation in a line of JSON.
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
    // What came over a proxy's port belongs to the provider all the same.
    return observe(passed, all)(request);
  };
}

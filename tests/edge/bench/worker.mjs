// The work in a Worker. Its own clock stands still while it works, so whoever asks takes the time.
import * as gaugeway from './gaugeway/workerd.js';
import {work} from './work.mjs';

const run = work(gaugeway);

export default {
  async fetch(request) {
    const [way, chunks] = new URL(request.url).pathname.slice(1).split('/');
    await run(way, Number(chunks));
    return new Response('done');
  },
};

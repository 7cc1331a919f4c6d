// The handler as a Worker.
import * as gaugeway from './gaugeway/workerd.js';
import {handler} from './handler.mjs';
import {helpers} from './helpers.mjs';

export default {
  async fetch(request, env, context) {
    const settings = JSON.parse(env.SETTINGS);
    const handle = handler(gaugeway, tools => helpers(settings, tools), settings);
    try {
      return await handle(request, promise => context.waitUntil(promise));
    } catch {
      return new Response(null, {status: 502});
    }
  },
};

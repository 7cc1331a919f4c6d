// The handler on Deno's own server: deno run -A deno.mjs '{"upstream": ..., "options": {...}}'
import * as gaugeway from './gaugeway/node.js';
import {handler} from './handler.mjs';
import {helpers} from './helpers.mjs';

const settings = JSON.parse(Deno.args[0]);
const handle = handler(gaugeway, tools => helpers(settings, tools), settings);

const onListen = ({port}) => console.log(JSON.stringify({port}));
Deno.serve({hostname: '127.0.0.1', port: 0, onListen}, async request => {
  try {
    return await handle(request);
  } catch {
    return new Response(null, {status: 502});
  }
});

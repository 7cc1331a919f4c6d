// The handler on Node's own server: node node.mjs '{"upstream": ..., "options": {...}}'
import http from 'node:http';
import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import * as gaugeway from './gaugeway/node.js';
import {handler} from './handler.mjs';
import {helpers} from './helpers.mjs';

const settings = JSON.parse(process.argv[2]);
const handle = handler(gaugeway, tools => helpers(settings, tools), settings);

const server = http.createServer(async (incoming, outgoing) => {
  const gone = new AbortController();
  outgoing.on('close', () => outgoing.writableFinished || gone.abort());
  const hasBody = !['GET', 'HEAD'].includes(incoming.method);
  const {connection, host, 'transfer-encoding': encoding, ...headers} = incoming.headers;
  try {
    const request = new Request(`http://${host}${incoming.url}`, {
      method: incoming.method,
      headers,
      signal: gone.signal,
      ...(hasBody && {body: Readable.toWeb(incoming), duplex: 'half'}),
    });
    const response = await handle(request);
    const {'content-encoding': decoded, 'transfer-encoding': chunked, ...rest} = Object.fromEntries(response.headers);
    outgoing.writeHead(response.status, rest);
    outgoing.flushHeaders();
    if (!response.body) return outgoing.end();
    await pipeline(Readable.fromWeb(response.body), outgoing);
  } catch (error) {
    if (!outgoing.headersSent) outgoing.writeHead(502).end();
    else outgoing.destroy();
  }
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({port: server.address().port})));

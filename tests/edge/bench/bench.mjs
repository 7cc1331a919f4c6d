// Measures what the observer adds to a chunk in Node.js and in workerd: node bench.mjs PACKAGE RUNTIMES. Runs with and
// without it alternate; the best time counts.
import {spawn} from 'node:child_process';
import {cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import http from 'node:http';
import {tmpdir} from 'node:os';
import {dirname, join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';

const [, , library, runtimes] = process.argv;
const CHUNKS = 20_000;
const ROUNDS = 9;
const TRIPS = 2_000;

const folder = mkdtempSync(join(tmpdir(), 'gaugeway-bench-'));
try {
  cpSync(dirname(fileURLToPath(import.meta.url)), folder, {recursive: true});
  cpSync(resolve(library), join(folder, 'gaugeway'), {recursive: true});
  const {chunk, work} = await import(join(folder, 'work.mjs'));
  const run = work(await import(join(folder, 'gaugeway/node.js')));
  await measure(`Node ${process.version}`, run);
  await inWorkerd(async (run, url) => {
    await measure('workerd', run);
    await through(url, chunk);
  });
} finally {
  rmSync(folder, {recursive: true});
}

async function measure(name, run) {
  const best = {plain: Infinity, observed: Infinity, nothing: Infinity};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [what, way, chunks] of [['plain', 'plain', CHUNKS], ['observed', 'observed', CHUNKS], ['nothing', 'plain', 0]]) {
      const start = performance.now();
      await run(way, chunks);
      best[what] = Math.min(best[what], performance.now() - start);
    }
  }
  const each = way => ((best[way] - best.nothing) * 1000) / CHUNKS;
  const figures = [each('observed') - each('plain'), each('observed'), each('plain')].map(figure => figure.toFixed(2));
  console.log(`${name}: ${figures[0]} us added to a chunk (${figures[1]} observed, ${figures[2]} through a plain stream)`);
}

/** Sends chunks one by one through workerd as a proxy. The next chunk is sent when the previous one has arrived. */
async function through(url, chunk) {
  let next;
  const upstream = http.createServer((_, response) => {
    response.writeHead(200, {'content-type': 'text/event-stream'}).flushHeaders();
    next = last => (last ? response.end() : response.write(chunk));
    next();
  });
  await new Promise(settle => upstream.listen(0, '127.0.0.1', settle));
  const target = `http://127.0.0.1:${upstream.address().port}/v1/chat/completions`;
  const times = {pass: [], script: [], watch: []};
  for (let round = 0; round < 3 * ROUNDS; round++) {
    const way = Object.keys(times)[round % 3];
    await new Promise((settle, fail) => {
      http.get(`${url}/${way}/0?upstream=${encodeURIComponent(target)}`, response => {
        let left = TRIPS;
        let start;
        response.on('data', () => {
          if (start) times[way].push(performance.now() - start);
          start = performance.now();
          next(!left--);
        });
        response.on('end', settle);
      }).on('error', fail);
    });
  }
  upstream.closeAllConnections();
  upstream.close();
  const median = way => times[way].sort((one, other) => one - other)[times[way].length >> 1] * 1000;
  const [pass, script, watch] = Object.keys(times).map(way => median(way).toFixed(0));
  console.log(`workerd as a proxy: a chunk's way takes ${watch} us observed, ${script} through a script's stream, ${pass} through no script`);
}

async function inWorkerd(use) {
  const platforms = join(resolve(runtimes), 'node_modules/@cloudflare');
  const platform = readdirSync(platforms).find(name => name.startsWith('workerd-'));
  const module = name => `(name = "${name}", ${name.endsWith('.wasm') ? 'wasm' : 'esModule'} = embed "${name}")`;
  const parts = ['workerd.js', 'observe.js', 'exchange.js', 'stream.js', 'prices.js', 'core.js', 'core_bg.wasm'];
  const modules = ['worker.mjs', 'work.mjs', ...parts.map(name => `gaugeway/${name}`)].map(module);
  const config = `using Workerd = import "/workerd/workerd.capnp";
    const config :Workerd.Config = (
      services = [(name = "internet", network = (allow = ["private"])), (name = "main", worker = (compatibilityDate = "2025-05-01", modules = [${modules}]))],
      sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
    );`;
  writeFileSync(join(folder, 'config.capnp'), config);
  const program = join(platforms, platform, 'bin/workerd');
  const stdio = ['ignore', 'pipe', 'inherit'];
  const workerd = spawn(program, ['serve', '--socket-addr=http=127.0.0.1:0', '--control-fd=1', join(folder, 'config.capnp')], {stdio});
  try {
    const port = await new Promise((settle, fail) => {
      workerd.once('exit', () => fail(new Error('cannot start workerd')));
      workerd.stdout.on('data', data => {
        for (const line of String(data).split('\n')) if (line.includes('"port"')) settle(JSON.parse(line).port);
      });
    });
    const url = `http://127.0.0.1:${port}`;
    await use(async (way, chunks) => {
      const response = await fetch(`${url}/${way}/${chunks}`);
      if ((await response.text()) !== 'done') throw new Error(`workerd answered with status ${response.status}`);
    }, url);
  } finally {
    workerd.kill();
  }
}

// What the observer adds to a chunk, in Node and in workerd: node bench.mjs PACKAGE RUNTIMES. Both ways in turns, the best counts.
import {spawn} from 'node:child_process';
import {cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';

const [, , library, runtimes] = process.argv;
const CHUNKS = 20_000;
const ROUNDS = 9;

const folder = mkdtempSync(join(tmpdir(), 'gaugeway-bench-'));
try {
  cpSync(dirname(fileURLToPath(import.meta.url)), folder, {recursive: true});
  cpSync(resolve(library), join(folder, 'gaugeway'), {recursive: true});
  const {work} = await import(join(folder, 'work.mjs'));
  const run = work(await import(join(folder, 'gaugeway/node.js')));
  await measure(`Node ${process.version}`, run);
  await inWorkerd(run => measure('workerd', run));
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

async function inWorkerd(use) {
  const platforms = join(resolve(runtimes), 'node_modules/@cloudflare');
  const platform = readdirSync(platforms).find(name => name.startsWith('workerd-'));
  const module = name => `(name = "${name}", ${name.endsWith('.wasm') ? 'wasm' : 'esModule'} = embed "${name}")`;
  const parts = ['workerd.js', 'observe.js', 'exchange.js', 'stream.js', 'prices.js', 'core.js', 'core_bg.wasm'];
  const modules = ['worker.mjs', 'work.mjs', ...parts.map(name => `gaugeway/${name}`)].map(module);
  const config = `using Workerd = import "/workerd/workerd.capnp";
    const config :Workerd.Config = (
      services = [(name = "main", worker = (compatibilityDate = "2025-05-01", modules = [${modules}]))],
      sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
    );`;
  writeFileSync(join(folder, 'config.capnp'), config);
  const program = join(platforms, platform, 'bin/workerd');
  const stdio = ['ignore', 'pipe', 'inherit'];
  const workerd = spawn(program, ['serve', '--socket-addr=http=127.0.0.1:0', '--control-fd=1', join(folder, 'config.capnp')], {stdio});
  try {
    const port = await new Promise((settle, fail) => {
      workerd.once('exit', () => fail(new Error('workerd does not start')));
      workerd.stdout.on('data', data => {
        for (const line of String(data).split('\n')) if (line.includes('"port"')) settle(JSON.parse(line).port);
      });
    });
    await use(async (way, chunks) => {
      const response = await fetch(`http://127.0.0.1:${port}/${way}/${chunks}`);
      if ((await response.text()) !== 'done') throw new Error(`workerd answers ${response.status}`);
    });
  } finally {
    workerd.kill();
  }
}

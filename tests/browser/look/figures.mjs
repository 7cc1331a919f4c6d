// Figures and runs of the live page, without a browser: node --test figures.mjs, with GAUGEWAY_PAGE_FILES (the folder of its files) set.
import assert from 'node:assert/strict';
import {cp, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {pathToFileURL} from 'node:url';

// Node.js reads a file as a module if a package.json beside it says so.
const folder = await mkdtemp(join(tmpdir(), 'page-'));
await cp(process.env.GAUGEWAY_PAGE_FILES, folder, {recursive: true});
await writeFile(join(folder, 'package.json'), '{"type": "module"}');
// The dialog needs a document as soon as it is loaded.
await writeFile(join(folder, 'call.js'), 'export const dialog = undefined;');
const load = file => import(pathToFileURL(join(folder, file)));
const [{lasted, speedOf}, {runsOf}] = [await load('figures.js'), await load('runs.js')];
await rm(folder, {recursive: true});

test('a duration never has 60 seconds or 1000 milliseconds', () => {
  const durations = {9.96: '10 ms', 999.4: '999 ms', 999.7: '1.00 s', 59_994: '59.99 s', 59_999: '1 min 0 s', 89_600: '1 min 30 s', 119_400: '1 min 59 s', 119_700: '2 min 0 s'};
  for (const [ms, words] of Object.entries(durations)) assert.equal(lasted(Number(ms)), words);
});

test('an answer that arrived within 100 ms has no speed', () => {
  const call = end => ({start: 0, end, attributes: {'gen_ai.usage.output_tokens': 50, 'gaugeway.time_to_first_token': 1}});
  assert.equal(speedOf(call(1099)), undefined);
  assert.equal(speedOf(call(1500)), 100);
});

/** The first call of a run, with what the client says of its agent. */
const first = (parent, start, own) => {
  const names = {session: 'gen_ai.conversation.id', agent: 'gaugeway.agent.id', parentAgent: 'gaugeway.agent.parent_id'};
  const attributes = {'gaugeway.agent.iteration': 1};
  for (const [key, value] of Object.entries(own)) attributes[names[key]] = value;
  return {kind: 'call', span: `${parent}-1`, parent, start, end: start + 1, links: [], attributes};
};
const treeOf = runs => runs.map(run => [run.span, ...treeOf(run.children)]);

test('a run has a parent only in its own session', () => {
  assert.deepEqual(treeOf(runsOf([first('a', 1, {session: 's'}), first('b', 2, {session: 's', agent: 'x'})])), [['a', ['b']]]);
  assert.deepEqual(treeOf(runsOf([first('a', 1, {}), first('b', 2, {agent: 'x'})])), [['b'], ['a']]);
});

test('runs that name each other as parents are shown side by side', () => {
  const runs = runsOf([first('a', 1, {agent: 'x', parentAgent: 'y'}), first('b', 1, {agent: 'y', parentAgent: 'x'})]);
  assert.deepEqual(treeOf(runs), [['a'], ['b']]);
});

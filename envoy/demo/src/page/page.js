// Fetches new calls and runs every two seconds and draws them.
import {dialog} from './call.js';
import {$, bars, dots, fill, line, list, make, table, template, write} from './draw.js';
import {NO_USAGE, clock, costOf, count, durationOf, figures, firstOf, grouped, hasFailed, lasted, modelOf, number, of, outcomeOf, partsOf, quantile, reasonOf, sum, toneOf, usd} from './figures.js';
import {drawRuns, runsOf, watchRuns} from './runs.js';

/** Rows in the table of calls. */
const ROWS = 100;

/** The items that the demo keeps, by number. */
const kept = new Map();
let data = {};
let next = 0;

const MODEL = table($('models'), [
  ['Requested model', 'model'], ['Calls', 'calls'], ['Failed', 'failed'], ['Input', 'input'], ['Cached', 'cached'], ['Output', 'output'],
  ['Reasoning', 'reasoning'], ['Spend', 'spend', 'unpriced'], ['First token', 'first-50', 'first-tail'], ['Tokens per second', 'speed'], ['Whole call', 'duration-50', 'duration-tail'], ['Over time', 'course'],
]);
MODEL.lastChild.replaceChildren(document.importNode(template('dots'), true));
const CALL = table($('calls'), [
  ['Model', 'model', 'what'], ['Time', 'time'], ['Input', 'input', 'cached'], ['Output', 'output', 'reasoning'], ['Cost', 'cost'],
  ['First token', 'first'], ['Whole', 'whole'], ['Finish', 'finish'], ['Tools', 'tools'], ['Outcome', 'outcome', 'error'],
]);

const periodOf = () => Number(document.querySelector('[name=period]:checked').value) * 1000;

function draw() {
  const period = periodOf();
  const items = [...kept.values()];
  const since = period ? data.now - period : 0;
  const recent = items.filter(item => item.end >= since);
  const calls = recent.filter(item => item.kind === 'call');
  const tools = recent.filter(item => item.kind === 'tool');
  const others = recent.filter(item => item.kind === 'other');
  const runs = runsOf(items).filter(run => Math.max(...run.all.map(one => one.end)) >= since);
  const span = [period ? since : Math.min(data.now - 60_000, ...calls.map(call => call.start)), data.now];

  $('empty').hidden = Boolean(items.length);
  $('numbers').hidden = !items.length;
  const inTime = period ? $('period').querySelector(':checked').parentNode.textContent.trim().toLowerCase() : '';
  $('none').hidden = Boolean(recent.length) || !items.length;
  write($('none'), `No calls in the ${inTime}. Choose a longer period above.`);
  $('figures').hidden = !recent.length;
  drawFolded(items);
  drawTotals(calls, tools, runs, span);
  drawWhy(calls, tools);
  $('runs-part').hidden = !runs.length;
  drawRuns(runs, data.now);
  drawModels(calls, span);
  drawCalls([...calls, ...others].sort((a, b) => b.number - a.number));
}

/** Says if the page does not have all calls that Envoy has counted. */
function drawFolded(items) {
  const own = items.filter(item => item.kind === 'call').length;
  const missing = data.counted && data.first > 0 ? data.counted[0] - own : 0;
  $('folded').hidden = missing <= 0;
  write($('folded'), `This page keeps the last ${count(own)} calls. Envoy has counted ${count(data.counted?.[0] ?? 0)} since it started, with a cost of ${usd(data.counted?.[1] ?? 0)}.`);
}

function drawTotals(calls, tools, runs, span) {
  const all = figures(calls);
  const inner = runs.flatMap(run => run.all);
  const broken = [...new Set(tools.filter(tool => tool.failed).map(tool => of(tool, 'gen_ai.tool.name') ?? 'a tool'))];
  const parts = partsOf(calls);
  const streams = all['first-count'];
  const models = grouped(calls, modelOf, costOf).filter(model => model[2]);
  const [mostly, share] = [parts[0], (parts[0]?.[1] ?? 0) / (all.spend[1] || 1)];
  fill($('totals'), {
    ...all,
    why: mostly ? `${Math.round(100 * share)} % for ${mostly[0].toLowerCase()}` : '',
    'why-model': models.length > 1 ? `${Math.round(100 * models[0][2] / all.spend[1])} % for ${models[0][0]}` : '',
    'failed-of': all.failed[1] ? `${all.failed[0]} failed, ${all['failed-share'][0]}` : calls.length ? 'none failed' : '',
    'first-note': streams ? `of ${number(streams, 'stream')}` : '', 'duration-note': `of ${number(calls.length, 'call')}`,
    runs: [count(inner.length), inner.length], 'runs-bad': bad(inner),
    tools: number(tools.length, 'tool call'), 'tools-failed': broken.length ? `${broken.join(', ')} failed` : '',
  });
  $('first-card').hidden = !streams;
  $('runs-card').hidden = !inner.length;
  line('calls-line', calls.map(call => [call.end, 1]), span, count);
  line('spend-line', calls.map(call => [call.end, costOf(call)]), span, usd);
  for (const [id, amount, what] of [['first-dots', firstOf, 'Time to the first token'], ['duration-dots', durationOf, 'Duration']]) {
    const points = pointsOf(calls, amount);
    const most = Math.max(...points.map(point => point[1]), 0);
    dots($(id), points, span, most, `${what} of each call over time, at most ${lasted(most)}`);
  }
}

function bad(runs) {
  const words = grouped(runs.filter(run => run.status !== 'completed'), run => run.status).map(([status, own]) => `${count(own.length)} ${status.replace('_', ' ')}`);
  return words.join(', ') || 'all completed';
}

function drawWhy(calls, tools) {
  const spend = keyOf => grouped(calls, keyOf, costOf).filter(row => row[2] > 0).map(([key, own, cost]) => [key, `${usd(cost)} · ${number(own.length, 'call')}`, cost]);
  const several = rows => rows.length > 1 ? rows : [];
  bars('spend-bars', spend(modelOf));
  bars('part-bars', partsOf(calls).map(([label, cost]) => [label, usd(cost), cost]));
  bars('client-bars', several(spend(call => of(call, 'gaugeway.client.name') ?? 'not recognised')));
  const tokens = name => sum(calls, call => of(call, `gen_ai.usage.${name}`) ?? 0);
  const kinds = [['input', 'input_tokens'], ['cached input', 'cache_read.input_tokens', 'part'], ['output', 'output_tokens'], ['reasoning output', 'reasoning.output_tokens', 'part']];
  bars('token-bars', kinds.map(([label, name, tone]) => [label, count(tokens(name)), tokens(name), tone]).filter(row => row[2]));
  bars('tool-bars', grouped(tools, tool => of(tool, 'gen_ai.tool.name') ?? 'not named').map(([name, own]) => {
    const failed = own.filter(tool => tool.failed).length;
    return [name, `${count(own.length)} ×${failed ? `, ${count(failed)} failed` : ''}, median ${lasted(quantile(own.map(durationOf), 0.5))}`, own.length, failed ? 'bad' : ''];
  }));
  const outcomes = grouped(calls, outcomeOf).map(([outcome, own]) => [outcome.replace('_', ' '), count(own.length), own.length, toneOf(outcome)]);
  bars('outcome-bars', calls.every(call => outcomeOf(call) === 'completed') ? [] : outcomes);
  bars('error-bars', grouped(calls, call => reasonOf(call) || undefined).map(([reason, own]) => [reason, count(own.length), own.length, outcomeOf(own[0]) === 'local_reply' ? 'quiet' : 'bad']));
  const finishes = calls.flatMap(call => of(call, 'gen_ai.response.finish_reasons') ?? []);
  bars('finish-bars', several(grouped(finishes, reason => reason).map(([reason, own]) => [reason, count(own.length), own.length])));
  const saved = sum(calls, call => Math.round((of(call, 'gaugeway.cost.cache_savings.usd') ?? 0) * 1e9));
  const lost = grouped(calls, call => of(call, 'gaugeway.cache.break.cause'), call => Math.round((of(call, 'gaugeway.cache.lost_usd.estimate') ?? 0) * 1e9));
  bars('cache-bars', [...(saved ? [['saved', usd(saved), saved, 'good']] : []), ...lost.map(([cause, own, cost]) => [`lost: ${cause.replace('_', ' ')}`, `about ${usd(cost)} · ${number(own.length, 'call')}`, cost, 'bad'])]);
  const silent = calls.filter(call => of(call, 'gaugeway.cost.status') === 'no_usage' && of(call, 'gen_ai.request.stream'));
  $('hint').hidden = !silent.length;
  write($('hint'), `${number(silent.length, 'stream')} without token counts, so without a cost. ${NO_USAGE}`);
}

const pointsOf = (calls, amount) => calls.filter(call => amount(call) !== undefined).map(call => [call.end, amount(call), hasFailed(call)]);

function drawModels(calls, span) {
  const slowest = Math.max(...calls.map(durationOf), 1);
  const tail = (own, name) => own[`${name}-count`] > 1 ? [`${own[`${name}-high`]} ${own[`${name}-95`][0]}`, own[`${name}-95`][1]] : '';
  list($('models'), MODEL, grouped(calls, modelOf).map(([model, own]) => {
    const all = figures(own);
    return {key: model, model, own, ...all, 'first-tail': tail(all, 'first'), 'duration-tail': tail(all, 'duration')};
  }), (row, {own, model}) => {
    dots(row.querySelector('.dots'), pointsOf(own, durationOf), span, slowest, `Duration of each call of ${model} over time, at most ${lasted(slowest)}`);
  });
  write($('models-note'), `Times are measured in each call: the median, and the slowest call or, from 20 calls on, the 95th percentile. The dots show the duration of each call, at most ${lasted(slowest)}; failed calls are red.`);
}

function callRow(call) {
  if (call.kind === 'other') {
    return {key: String(call.number), call, time: clock(call.start), whole: lasted(durationOf(call)), model: `${call.method} ${call.path}`, what: 'not LLM traffic', outcome: String(call.response_code ?? ''), tone: 'quiet'};
  }
  const amount = (name, unit = '') => of(call, name) === undefined ? '' : count(of(call, name)) + unit;
  const part = (name, unit) => of(call, name) ? amount(name, unit) : '';
  const names = name => (of(call, name) ?? []).join(', ');
  return {
    key: String(call.number), call, time: clock(call.end), whole: lasted(durationOf(call)), model: modelOf(call),
    what: [of(call, 'gen_ai.operation.name'), of(call, 'gen_ai.provider.name') ?? 'provider unknown'].join(', '),
    input: amount('gen_ai.usage.input_tokens'), cached: part('gen_ai.usage.cache_read.input_tokens', ' cached'),
    output: amount('gen_ai.usage.output_tokens'), reasoning: part('gen_ai.usage.reasoning.output_tokens', ' reasoning'),
    cost: of(call, 'gaugeway.cost.usd') === undefined ? (of(call, 'gaugeway.cost.status') ?? '').replace('_', ' ') : usd(costOf(call)),
    first: firstOf(call) === undefined ? '' : lasted(firstOf(call)), finish: names('gen_ai.response.finish_reasons'), tools: names('gaugeway.tool_call.names'),
    outcome: outcomeOf(call).replace('_', ' '), error: reasonOf(call), tone: toneOf(outcomeOf(call)),
  };
}

let newest;
function drawCalls(calls) {
  const isFailed = $('failed-only').checked;
  const rows = calls.filter(call => !isFailed || call.kind === 'other' || hasFailed(call)).slice(0, ROWS).map(callRow);
  list($('calls'), CALL, rows, (row, {call}) => {
    row.item = call;
    const name = row.querySelector('[data-f=model]');
    if (call.kind === 'call' && name.localName !== 'button') name.replaceWith(make('button', {type: 'button', 'data-f': 'model', 'aria-haspopup': 'dialog'}, name.textContent));
  });
  write($('calls-note'), rows.length < calls.length ? `${count(rows.length)} of ${count(calls.length)}` : '');
  const [last] = calls.map(callRow);
  const words = last && `${last.model}: ${last.outcome}, ${last.input || 'no'} tokens in, ${last.output || 'no'} out, cost ${last.cost || 'unknown'}`;
  if (newest !== undefined && last && last.key !== newest) write($('news'), words);
  newest = last?.key ?? '';
}

function report(problem) {
  write($('problem'), problem);
  $('problem').hidden = !problem;
}

/** Adds what is new. After a restart of the demo everything is. */
function take(told) {
  if (told.since !== data.since) kept.clear(), next = 0;
  const isComplete = told.since === data.since || told.first === told.next - told.items.length;
  data = told;
  if (!isComplete) return false;
  for (const item of told.items) {
    if (item.kind === 'other') Object.assign(item, {start: Date.parse(item.start_time), end: Date.parse(item.start_time) + item.duration_ms});
    kept.set(item.number, item);
  }
  for (const number of kept.keys()) if (number < told.first) kept.delete(number);
  next = told.next;
  return true;
}

async function update() {
  const reply = await fetch(`data?from=${next}`, {signal: AbortSignal.timeout(5000)}).catch(() => null);
  if (!reply) return report('The demo does not answer. Start it again: ./build.sh run');
  if (!take(await reply.json())) return update();
  write($('where'), data.title);
  write($('by-hand'), data.by_hand);
  list($('replays'), template('replay'), data.replays.map((title, at) => ({key: String(at), title})));
  $('again').hidden = !data.counted;
  draw();
  if (!data.counted) return report(`Envoy is not reachable: nothing answers at its admin port, ${data.admin}`);
  write($('fresh'), `Read at ${clock(data.now)}`);
  report('');
}

$('replays').addEventListener('click', async ({target: button}) => {
  if (button.localName !== 'button') return;
  button.disabled = true;
  write($('sent'), `${button.textContent}: sent`);
  const reply = await fetch(`send/${button.parentNode.dataset.key}`, {method: 'POST'}).catch(() => null);
  write($('sent'), `${reply ? await reply.text() : 'The demo does not answer'} (${clock(Date.now())})`);
  button.disabled = false;
  button.focus();
});
$('calls').addEventListener('click', ({target}) => {
  const row = target.closest('tr');
  if (row?.item.kind === 'call') dialog(row.item);
});
$('period').addEventListener('change', draw);
$('failed-only').addEventListener('change', draw);
watchRuns(draw);

for (;;) {
  await update().catch(fault => report(`This page has a fault. ${fault}`));
  await new Promise(later => setTimeout(later, 2000));
}

// Draws Envoy's statistics and access log every two seconds. Text from outside is only ever set as textContent.

const DURATION = 'gen_ai_client_inference_duration_microseconds';
const FIRST_TOKEN = 'gen_ai_server_time_to_first_token_microseconds';

const $ = id => document.getElementById(id);
const count = n => n.toLocaleString('en');
const usd = nano => '$' + (nano < 1e9 ? (nano / 1e9).toFixed(6) : count(Math.round(nano / 1e7) / 100));
const clock = at => new Date(at).toLocaleTimeString('en-GB');
const lasted = us =>
  us < 1e4 ? `${Number((us / 1e3).toFixed(1))} ms` : us < 1e6 ? `${Math.round(us / 1e3)} ms` : `${(us / 1e6).toFixed(2)} s`;
const modelOf = labels => labels.gen_ai_response_model || labels.gen_ai_request_model || 'not named';
const requestedOf = labels => labels.gen_ai_request_model || 'not named';
const isFailure = outcome => !['completed', 'client_disconnect', 'local_reply'].includes(outcome);
const tone = outcome => outcome === 'completed' ? 'good' : isFailure(outcome) ? 'bad' : 'quiet';

// ---- Numbers. A statistic is [name, labels, value], a figure is [text, value].

const any = () => true;

function sum(stats, name, fits = any) {
  return stats.reduce((sum, [own, labels, value]) => own === name && fits(labels) ? sum + value : sum, 0);
}

function grouped(stats, name, keyOf) {
  const sums = new Map();
  for (const [own, labels, value] of stats) {
    if (own === name && value > 0) sums.set(keyOf(labels), (sums.get(keyOf(labels)) ?? 0) + value);
  }
  return [...sums].sort((a, b) => b[1] - a[1]);
}

/** Linear interpolation in the bucket that contains the quantile, as Prometheus's histogram_quantile does. */
function quantile(share, stats, name, fits) {
  const buckets = new Map();
  for (const [own, labels, value] of stats) {
    const bound = labels.le === '+Inf' ? Infinity : Number(labels.le);
    if (own === `${name}_bucket` && fits(labels)) buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  const below = [...buckets].sort((a, b) => a[0] - b[0]);
  const rank = share * (below.at(-1)?.[1] ?? 0);
  const at = below.findIndex(([, total]) => total && total >= rank);
  if (at < 0) return ['–', ''];
  const [[lower, before], [bound, total]] = [below[at - 1] ?? [0, 0], below[at]];
  if (bound === Infinity) return [`> ${lasted(lower)}`, lower];
  const value = lower + (bound - lower) * (rank - before) / (total - before);
  return [lasted(value), value];
}

function figures(stats, fits = any) {
  const of = (name, words = count) => {
    const value = sum(stats, `gaugeway_${name}_total`, fits);
    return [value ? words(value) : '–', value];
  };
  const failed = sum(stats, 'gaugeway_requests_total', labels => fits(labels) && isFailure(labels.outcome));
  const unpriced = of('unpriced_requests');
  return {
    calls: of('requests'), failed: [count(failed), failed],
    input: of('input_tokens'), cached: of('cache_read_tokens'),
    output: of('output_tokens'), reasoning: of('reasoning_tokens'),
    spend: of('cost_nanousd', usd), unpriced: unpriced[1] ? `${unpriced[0]} unpriced` : '',
    'duration-50': quantile(0.5, stats, DURATION, fits), 'duration-99': quantile(0.99, stats, DURATION, fits),
    'first-50': quantile(0.5, stats, FIRST_TOKEN, fits), 'first-99': quantile(0.99, stats, FIRST_TOKEN, fits),
  };
}

/** The increase of a running total in the minute before each reading: [time, increase]. */
function perMinute(history, column) {
  return history.map(reading => {
    const start = history.findLast(one => one[0] <= reading[0] - 60_000) ?? history[0];
    return [reading[0], reading[column] - start[column]];
  });
}

// ---- Drawing. Existing elements are kept, and only changed values are updated.

function write(node, words, value) {
  if (node.textContent !== words) node.textContent = words;
  if (value !== undefined && node.value !== String(value)) node.value = value;
}

function fill(node, fields) {
  for (const place of node.querySelectorAll('[data-f]')) write(place, ...[fields[place.dataset.f] ?? ''].flat());
}

function list(parent, template, items) {
  const old = new Map([...parent.children].map(child => [child.dataset.key, child]));
  items.forEach(({key, tone = '', share = 0, ...fields}, at) => {
    const child = old.get(key) ?? template.cloneNode(true);
    if (!old.delete(key)) child.dataset.key = key;
    fill(child, fields);
    if (child.dataset.tone !== tone) child.dataset.tone = tone;
    child.style.setProperty('--share', share);
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
  old.forEach(child => child.remove());
}

/** Writes a table's header and returns the template of its rows. A column is [heading, field, field in small print]. */
function table(body, columns) {
  const [head, row] = [document.createElement('tr'), document.createElement('tr')];
  columns.forEach(([heading, ...fields], at) => {
    Object.assign(head.appendChild(document.createElement('th')), {scope: 'col', textContent: heading});
    const cell = row.appendChild(document.createElement(at ? 'td' : 'th'));
    Object.assign(at ? cell.dataset : cell, at ? {label: heading} : {scope: 'row'});
    fields.forEach((field, nth) => cell.appendChild(document.createElement(nth ? 'small' : 'data')).dataset.f = field);
  });
  body.parentNode.tHead.append(head);
  return row;
}

const template = id => $(id).content.firstElementChild;
const MODEL = table($('models'), [
  ['Requested model', 'model'], ['Calls', 'calls'], ['Failed', 'failed'], ['Input', 'input'], ['Cached', 'cached'], ['Output', 'output'],
  ['Reasoning', 'reasoning'], ['Spend', 'spend', 'unpriced'], ['Duration p50', 'duration-50'], ['Duration p99', 'duration-99'],
  ['First token p50', 'first-50'], ['First token p99', 'first-99'],
]);
const CALL = table($('calls'), [
  ['Model', 'model', 'what'], ['Time', 'time'], ['Input', 'input', 'cached'], ['Output', 'output', 'reasoning'], ['Cost', 'cost'],
  ['First token', 'first'], ['Whole', 'whole'], ['Finish', 'finish'], ['Tools', 'tools'], ['Outcome', 'outcome', 'error'],
]);

/** Draws rows of [label, value, tone]. The longest bar has the full width. */
function bars(id, rows, words = count) {
  const most = Math.max(...rows.map(row => row[1]), 1);
  const items = rows.map(([label, value, tone]) => ({key: label, label, amount: [words(value), value], share: value / most, tone}));
  list($(id), template('bar'), items.length ? items : [{key: '', label: 'none', tone: 'none'}]);
}

function line(id, points, words) {
  const end = points.at(-1)[0];
  const span = Math.max(end - points[0][0], 60_000);
  const most = Math.max(...points.map(point => point[1]));
  const place = ([at, value]) => `${(100 - 100 * (end - at) / span).toFixed(2)},${(29 - 27 * value / (most || 1)).toFixed(2)}`;
  const path = `M0,29 L${place([points[0][0], 0])} L${points.map(place).join(' ')}`;
  const [area, edge] = $(id).children;
  area.setAttribute('d', `${path} L100,29 Z`);
  edge.setAttribute('d', path);
  $(id).setAttribute('aria-label', `Over time: ${words(points.at(-1)[1])} in the last minute, at most ${words(most)}`);
}

function draw(stats, history) {
  const all = figures(stats);
  const [calls, spend] = [perMinute(history, 1), perMinute(history, 2)];
  const share = all.failed[1] / (all.calls[1] || 1);
  fill($('totals'), {
    ...all,
    'failed-share': [`${(100 * share).toFixed(1)} %`, share],
    'calls-now': `${count(calls.at(-1)[1])}/min`,
    'spend-now': `${usd(spend.at(-1)[1])}/min`,
  });
  line('calls-line', calls, count);
  line('spend-line', spend, usd);
  bars('spend-bars', grouped(stats, 'gaugeway_cost_nanousd_total', modelOf), usd);
  bars('token-bars', [['input', all.input[1]], ['cached input', all.cached[1], 'part'],
    ['output', all.output[1]], ['reasoning output', all.reasoning[1], 'part']]);
  bars('outcome-bars', grouped(stats, 'gaugeway_requests_total', labels => labels.outcome).map(row => [...row, tone(row[0])]));
  bars('finish-bars', grouped(stats, 'gaugeway_finish_reasons_total', labels => labels.finish_reason));
  bars('parse-error-bars', grouped(stats, 'gaugeway_parse_errors_total', labels => labels.parse_error).map(row => [...row, 'bad']));
  list($('models'), MODEL, grouped(stats, 'gaugeway_requests_total', requestedOf)
    .map(([model]) => ({key: model, model, ...figures(stats, labels => requestedOf(labels) === model)})));
}

function callRow(call) {
  const amount = (key, unit = '') => key in call ? count(Number(call[key])) + unit : '';
  const part = (key, unit) => Number(call[key]) ? amount(key, unit) : '';
  const names = key => key in call ? JSON.parse(call[key]).join(', ') : '';
  const [operation, outcome] = [call['gen_ai.operation.name'], call['gaugeway.outcome']];
  const parseError = call['gaugeway.parse_error'] && `parse error: ${call['gaugeway.parse_error']}`;
  return {
    key: String(call.number), time: clock(call.start_time), whole: lasted(call.duration_ms * 1e3),
    model: call['gen_ai.response.model'] ?? call['gen_ai.request.model'] ?? `${call.method} ${call.path}`,
    what: operation ? `${operation}, ${call['gen_ai.provider.name'] ?? 'provider unknown'}` : 'not LLM traffic',
    input: amount('gen_ai.usage.input_tokens'), cached: part('gen_ai.usage.cache_read.input_tokens', ' cached'),
    output: amount('gen_ai.usage.output_tokens'), reasoning: part('gen_ai.usage.reasoning.output_tokens', ' reasoning'),
    cost: 'gaugeway.cost.usd' in call ? usd(call['gaugeway.cost.usd'] * 1e9) : (call['gaugeway.cost.status'] ?? '').replace('_', ' '),
    first: 'gaugeway.time_to_first_token' in call ? lasted(call['gaugeway.time_to_first_token'] * 1e6) : '',
    finish: names('gen_ai.response.finish_reasons'), tools: names('gaugeway.tool_call.names'),
    outcome: outcome ?? String(call.response_code ?? ''), error: [call['error.type'], parseError].filter(Boolean).join(', '),
    tone: operation ? tone(outcome) : 'quiet',
  };
}

let newest;
function drawCalls(rows) {
  list($('calls'), CALL, rows);
  const last = rows[0] ?? {key: ''};
  const words = `${last.model}: ${last.outcome}, ${last.input || 'no'} tokens in, ${last.output || 'no'} out, cost ${last.cost || 'unknown'}`;
  if (newest !== undefined && last.key !== newest) write($('news'), words);
  newest = last.key;
}

function report(problem) {
  write($('problem'), problem);
  $('problem').hidden = !problem;
}

async function update() {
  const reply = await fetch('data', {signal: AbortSignal.timeout(5000)}).catch(() => null);
  if (!reply) return report('The demo does not answer. Start it again: ./build.sh run');
  const {stats, history, calls, replays, title, by_hand, admin} = await reply.json();
  write($('where'), title);
  write($('by-hand'), by_hand);
  list($('replays'), template('replay'), replays.map((title, at) => ({key: String(at), title})));
  drawCalls(calls.map(callRow));
  $('again').hidden = !stats;
  if (!stats) return report(`Envoy is not reachable: nothing answers at its admin port, ${admin}`);
  draw(stats, history);
  const none = !calls.length && !sum(stats, 'gaugeway_requests_total');
  $('empty').hidden = !none;
  $('numbers').hidden = none;
  write($('fresh'), `Read at ${clock(Date.now())}`);
  report('');
}

$('replays').addEventListener('click', async ({target: button}) => {
  if (button.localName !== 'button') return;
  button.disabled = true;
  const reply = await fetch(`send/${button.parentNode.dataset.key}`, {method: 'POST'}).catch(() => null);
  write($('sent'), `${reply ? await reply.text() : 'The demo does not answer'} (${clock(Date.now())})`);
  button.disabled = false;
  button.focus();
});

for (;;) {
  await update().catch(fault => report(`This page has a fault. ${fault}`));
  await new Promise(later => setTimeout(later, 2000));
}

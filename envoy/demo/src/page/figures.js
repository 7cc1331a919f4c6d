// Figures of calls and words for them. Times are milliseconds, money is billionths of a US dollar.

export const count = n => n.toLocaleString('en');
export const clock = at => new Date(at).toLocaleTimeString('en-GB');
export const percent = share => `${(100 * share).toFixed(share && share < 0.1 ? 1 : 0)} %`;

export function usd(nano) {
  const value = nano / 1e9;
  if (!value) return '$0';
  if (value >= 1) return `$${value.toLocaleString('en', {minimumFractionDigits: 2, maximumFractionDigits: 2})}`;
  // Below a cent, two significant digits.
  return `$${value.toFixed(value < 0.01 ? 1 - Math.floor(Math.log10(value)) : 3)}`;
}

export function lasted(ms) {
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`;
  // The limits are those of the rounded value.
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_995) return `${(ms / 1000).toFixed(2)} s`;
  const whole = Math.round(ms / 1000);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** One thing, or several. */
export const number = (n, one, several = `${one}s`) => `${count(n)} ${n === 1 ? one : several}`;

export const of = (call, name) => call.attributes[name];
export const modelOf = call => of(call, 'gen_ai.request.model') ?? of(call, 'gen_ai.response.model') ?? 'not named';
export const costOf = call => Math.round((of(call, 'gaugeway.cost.usd') ?? 0) * 1e9);
export const outcomeOf = call => of(call, 'gaugeway.outcome') ?? 'interrupted';
export const durationOf = call => call.end - call.start;
export const firstOf = call => seconds(call, 'gaugeway.time_to_first_token');
/** Output tokens per second after the first token. Undefined for an answer that arrived in one piece, within 100 ms. */
export const speedOf = call => {
  const [output, wrote] = [of(call, 'gen_ai.usage.output_tokens'), durationOf(call) - firstOf(call)];
  return output && wrote >= 100 ? 1000 * output / wrote : undefined;
};
export const hasFailed = call => !['completed', 'client_disconnect', 'local_reply'].includes(outcomeOf(call));
export const toneOf = outcome => outcome === 'completed' ? 'good' : ['client_disconnect', 'local_reply', 'running'].includes(outcome) ? 'quiet' : 'bad';

/** An attribute in seconds, as milliseconds, or undefined. */
export function seconds(call, name) {
  const value = of(call, name);
  return value === undefined ? undefined : value * 1000;
}

/** The reason of a failure, unless it only repeats the outcome. */
export function reasonOf(call) {
  const [outcome, error, unread] = [outcomeOf(call), of(call, 'error.type'), of(call, 'gaugeway.parse_error')];
  return [error === outcome ? undefined : error, unread && `not readable: ${unread}`].filter(Boolean).join(', ');
}

export const PARTS = {
  input: 'Input', cache_read: 'Cache reads', cache_write: 'Cache writes', output: 'Output', reasoning: 'Reasoning',
  audio: 'Audio', image: 'Images', tools: 'Provider’s tools', requests: 'Requests',
};

/** The cost by part: [label, amount]. */
export function partsOf(calls) {
  const total = sum(calls, costOf);
  const parts = Object.entries(PARTS).map(([part, label]) => [label, sum(calls, call => Math.round((of(call, `gaugeway.cost.${part}.usd`) ?? 0) * 1e9))]);
  // A provider that reports the cost itself does not split it. Each part is rounded on its own.
  const rest = total - sum(parts, part => part[1]);
  return [...parts, ['Not split', rest > calls.length * 10 ? rest : 0]].filter(part => part[1] > 0).sort((a, b) => b[1] - a[1]);
}

export const STATUS = {
  priced: 'from the price table',
  partial: 'from the price table, but something had no rate',
  reported: 'as the provider reported it',
  reported_estimate: 'an estimate that the provider reported',
  prepaid: 'no cost: the capacity was paid for in advance',
  unpriced: 'unknown: there is no price for the model. Set one with the setting “prices”',
  no_usage: 'unknown: the answer has no token counts',
  hidden: 'of the known part only: the call was cut before its token counts were final',
};
export const NO_USAGE = 'A chat stream of OpenAI’s API has token counts only if its request sets "stream_options": {"include_usage": true}. The setting stream_usage.inject of the plugin adds it.';

export function sum(items, amount) {
  return items.reduce((sum, item) => sum + amount(item), 0);
}

/** The items by key, the largest group first. Items without a key are left out. */
export function grouped(items, keyOf, amount = () => 1) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (key === undefined) continue;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  return [...groups].map(([key, own]) => [key, own, sum(own, amount)]).sort((a, b) => b[2] - a[2]);
}

/** The smallest value that is not below this share of the values: always one that was measured. */
export function quantile(values, share) {
  const sorted = values.filter(value => value !== undefined).sort((a, b) => a - b);
  return sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)];
}

/** Median and 95th percentile as fields. Of fewer than 20 values the second one is the slowest. */
export function spread(name, values) {
  const known = values.filter(value => value !== undefined);
  const field = share => known.length ? [lasted(quantile(known, share)), quantile(known, share)] : ['–', ''];
  return {[`${name}-50`]: field(0.5), [`${name}-95`]: field(0.95), [`${name}-high`]: known.length < 20 ? 'slowest' : 'p95', [`${name}-count`]: known.length};
}

export function figures(calls) {
  const tokens = name => sum(calls, call => of(call, `gen_ai.usage.${name}`) ?? 0);
  const shown = (value, words = count) => [value ? words(value) : '–', value];
  const [failed, spend, unpriced] = [calls.filter(hasFailed).length, sum(calls, costOf), calls.filter(call => ['unpriced', 'no_usage'].includes(of(call, 'gaugeway.cost.status'))).length];
  const [input, cached, output] = [tokens('input_tokens'), tokens('cache_read.input_tokens'), tokens('output_tokens')];
  const speed = quantile(calls.map(speedOf), 0.5);
  return {
    calls: shown(calls.length), failed: [count(failed), failed], 'failed-share': [percent(failed / (calls.length || 1)), failed / (calls.length || 1)],
    input: shown(input), cached: shown(cached), 'cached-share': input && cached ? `${percent(cached / input)} of it from a cache` : '',
    output: shown(output), reasoning: shown(tokens('reasoning.output_tokens')),
    spend: shown(spend, usd), unpriced: unpriced ? `${count(unpriced)} unpriced` : '',
    speed: speed ? [`${Math.round(speed)}/s`, speed] : ['–', ''],
    ...spread('duration', calls.map(durationOf)), ...spread('first', calls.map(firstOf)),
  };
}

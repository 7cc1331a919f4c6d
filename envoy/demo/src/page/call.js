// One call in a dialog: times, cost, identifiers and all attributes.
import {$, fill, list, make, template, write} from './draw.js';
import {NO_USAGE, STATUS, clock, costOf, count, durationOf, firstOf, lasted, modelOf, of, outcomeOf, partsOf, percent, reasonOf, seconds, speedOf, toneOf, usd} from './figures.js';

const IDENTITY = {
  'gaugeway.prompt.hash': 'Last message', 'gaugeway.prompt.full_hash': 'All messages', 'gaugeway.system.hash': 'System prompt', 'gaugeway.tools.hash': 'Offered tools',
  'gaugeway.conversation.hash': 'Beginning of the conversation', 'gaugeway.response.hash': 'Answer',
};

/** Opens the dialog. The browser closes it with Escape and gives the focus back. */
export function dialog(call) {
  const box = $('call');
  const operation = of(call, 'gen_ai.operation.name') ?? 'call';
  const [asked, answered, reason] = [of(call, 'gen_ai.request.model'), of(call, 'gen_ai.response.model'), reasonOf(call)];
  fill(box, {
    title: modelOf(call), outcome: outcomeOf(call).replace('_', ' '),
    what: [operation, of(call, 'gen_ai.provider.name'), of(call, 'server.address'), answered && answered !== asked ? `answered by ${answered}` : ''].filter(Boolean).join(' · '),
    when: `${clock(call.start)} to ${clock(call.end)}`, reason,
  });
  box.querySelector('header').dataset.tone = toneOf(outcomeOf(call));
  box.querySelector('[data-f=reason]').hidden = !reason;
  drawTimes(call);
  drawCost(call);
  const known = Object.entries(IDENTITY).filter(([name]) => of(call, name) !== undefined);
  const ids = [
    ...known.map(([name, label]) => [`${label} (hash)`, of(call, name)]),
    ['Trace', call.trace], ['Span', call.span], ...call.links.map(([trace]) => ['Linked trace', trace]),
    ['Response', of(call, 'gen_ai.response.id')], ['Session', of(call, 'gen_ai.conversation.id')],
  ];
  pairs('call-ids', ids);
  pairs('call-attributes', Object.entries(call.attributes).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : String(value)]));
  if (!box.open) box.showModal();
  box.scrollTop = 0;
}

$('call').addEventListener('click', ({target}) => {
  // The dialog itself is the target only beside its content.
  if (target === $('call') || target.closest('.close')) $('call').close();
});

function pairs(id, rows) {
  const known = rows.filter(row => row[1] !== undefined && row[1] !== '');
  // Names may break between their words.
  const broken = name => name.split(/(?<=[._])/).flatMap(word => [word, make('wbr')]);
  $(id).replaceChildren(...known.map(([name, value]) => make('div', {}, make('dt', {}, ...broken(name)), make('dd', {}, value))));
}

function drawTimes(call) {
  const whole = durationOf(call);
  const [chunk, first, gap] = [seconds(call, 'gen_ai.response.time_to_first_chunk'), firstOf(call), seconds(call, 'gaugeway.response.chunk_gap.max')];
  const speed = speedOf(call) ? ` · ${Math.round(speedOf(call))} tokens/s` : '';
  const marks = [
    ['Request', 0, chunk === undefined ? (first === undefined ? 'until the end of the answer' : 'until the first token') : 'until the first chunk', 'wait'],
    ['First chunk', chunk, first === undefined ? 'until the end' : 'until the first token', 'begin'],
    ['First token', first, `until the end${speed}`, 'write'],
  ].filter(mark => mark[1] !== undefined);
  const parts = marks.map(([label, at, until, tone], place) => ({label, at, until, tone, end: marks[place + 1]?.[1] ?? whole}));
  list($('call-bar'), template('part'), parts.map(({label, at, tone, end}) => ({key: label, tone, style: {from: at / (whole || 1), width: Math.max(end - at, 0) / (whole || 1)}})));
  const rows = parts.map(({label, at, until, tone, end}) => ({key: label, label, tone, at: `+${lasted(at)}`, note: `${lasted(Math.max(end - at, 0))} ${until}`}));
  rows.push({key: 'End', label: 'End', at: `+${lasted(whole)}`, note: outcomeOf(call).replace('_', ' '), tone: 'end'});
  list($('call-times'), template('time'), rows);
  $('call-gap').hidden = gap === undefined;
  if (gap === undefined) return;
  const stalls = of(call, 'gaugeway.response.stalls');
  write($('call-gap').querySelector('p'), `Longest pause between two chunks: ${lasted(gap)}, ${percent(gap / (whole || 1))} of the time.${stalls ? ` The stream stalled ${stalls} ×.` : ''} Its place in the answer is not recorded.`);
  $('call-gap').style.setProperty('--width', Math.min(gap / (whole || 1), 1));
}

function drawCost(call) {
  const [status, unpriced] = [of(call, 'gaugeway.cost.status'), of(call, 'gaugeway.cost.unpriced')];
  const tokens = name => of(call, `gen_ai.usage.${name}`);
  const told = [['in', 'input_tokens'], ['from a cache', 'cache_read.input_tokens'], ['to a cache', 'cache_creation.input_tokens'], ['out', 'output_tokens'], ['reasoning', 'reasoning.output_tokens']];
  write($('call-tokens'), told.filter(([, name]) => tokens(name)).map(([label, name]) => `${count(tokens(name))} ${label}`).join(' · ') || 'No token counts.');
  const cost = of(call, 'gaugeway.cost.usd');
  const words = [cost === undefined ? 'Cost' : `${usd(costOf(call))},`, STATUS[status] ?? (cost === undefined ? 'not known' : ''), unpriced?.length ? `(${unpriced.join(', ')})` : ''];
  write($('call-cost'), `${words.filter(Boolean).join(' ').replace(/,$/, '')}.`);
  const isStream = of(call, 'gen_ai.request.stream') && status === 'no_usage';
  const lost = of(call, 'gaugeway.cache.break.cause');
  const saved = of(call, 'gaugeway.cost.cache_savings.usd');
  const hints = [
    isStream ? NO_USAGE : '',
    saved ? `The cache saved ${usd(saved * 1e9)}.` : '',
    lost ? `The cache was lost (${lost.replace('_', ' ')}): about ${count(of(call, 'gaugeway.cache.lost_tokens.estimate') ?? 0)} tokens, ${usd((of(call, 'gaugeway.cache.lost_usd.estimate') ?? 0) * 1e9)} more.` : '',
  ].filter(Boolean);
  write($('call-hint'), hints.join(' '));
  $('call-hint').hidden = !hints.length;
  const parts = partsOf([call]);
  const most = Math.max(...parts.map(part => part[1]), 1);
  list($('call-parts'), template('bar'), parts.map(([label, amount]) => ({key: label, label, amount: [usd(amount), amount], style: {share: amount / most}})));
}

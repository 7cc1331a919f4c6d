// Agent runs: what the spans of their calls and tools say, and how they are drawn.
import {dialog} from './call.js';
import {$, list, make, template, write} from './draw.js';
import {clock, costOf, durationOf, firstOf, hasFailed, lasted, modelOf, number, of, outcomeOf, reasonOf, sum, usd} from './figures.js';

const STORIES = {
  completed: () => '',
  max_iterations: () => 'asked for more tools in its last permitted iteration',
  loop: run => `repeats itself (${run.loop ?? 'loop'})`,
  error: run => `ended with a failed call: ${of(run.calls.at(-1) ?? {attributes: {}}, 'error.type') ?? 'error'}`,
  cancelled: () => 'the client stopped reading the answer',
  abandoned: run => `no result came for ${waiting(run)}`,
  unknown: run => `went on without the result of ${waiting(run)}`,
  running: run => `waits for the result of ${waiting(run)}`,
};

const waiting = run => names(of(run.calls.at(-1) ?? {attributes: {}}, 'gaugeway.tool_call.names') ?? []) || 'a tool';
const names = tools => [...new Set(tools)].join(', ');

/** The runs of these items, the newest first. Runs that another run has started are its `children`. */
export function runsOf(items) {
  const groups = new Map();
  for (const item of items) {
    const key = item.kind === 'run' ? item.span : item.parent;
    if (item.kind === 'other' || !key) continue;
    const group = groups.get(key) ?? {span: key, calls: [], tools: [], children: []};
    if (item.kind === 'run') group.ended = item;
    else (item.kind === 'tool' ? group.tools : group.calls).push(item);
    groups.set(key, group);
  }
  // Other calls are children of a span that the client has made. Only the first call of a run, and calls with a link, are known to be of a run.
  const isRun = ({ended, tools, calls}) => ended || tools.length || calls.some(call => of(call, 'gaugeway.agent.iteration') === 1 || call.links.length);
  const runs = [...groups.values()].filter(isRun).map(told).sort((a, b) => b.start - a.start);
  for (const run of runs) parentOf(run, runs)?.children.push(run), run.children.sort((a, b) => a.start - b.start);
  const inner = new Set(runs.flatMap(run => run.children));
  for (const run of runs) run.all = flat(run);
  return runs.filter(run => !inner.has(run));
}

const flat = run => [run, ...run.children.flatMap(flat)];

function told(run) {
  const {ended, calls, tools} = run;
  for (const steps of [calls, tools]) steps.sort((a, b) => a.start - b.start);
  const known = [ended, ...calls.toReversed()].filter(Boolean);
  const told = name => known.map(item => of(item, name)).find(value => value !== undefined);
  const iterations = calls.map(call => of(call, 'gaugeway.agent.iteration') ?? 0);
  return Object.assign(run, {
    status: ended ? of(ended, 'gaugeway.agent.status') : 'running',
    start: ended?.start ?? Math.min(...[...calls, ...tools].map(one => one.start)),
    end: ended?.end ?? Math.max(...[...calls, ...tools].map(one => one.end)),
    iterations: (ended && of(ended, 'gaugeway.agent.iterations')) ?? Math.max(0, ...iterations),
    // The earlier calls are not kept any more.
    isPart: Math.min(...iterations) > 1,
    loop: told('gaugeway.agent.loop'), session: told('gen_ai.conversation.id'), client: told('gaugeway.client.name'),
    agent: told('gaugeway.agent.id'), agentName: told('gaugeway.agent.name'), parentAgent: told('gaugeway.agent.parent_id'), trace: (ended ?? calls[0] ?? tools[0]).trace,
  });
}

/** The run whose agent has started this run's agent, if the client names them. */
function parentOf(run, runs) {
  if (!run.agent && !run.parentAgent) return;
  const hasStarted = other => {
    // A run that starts later, or at the same time, cannot be a parent: so there is no cycle.
    if (!(other.start < run.start)) return false;
    if (run.parentAgent) return other.agent === run.parentAgent || (other.session === run.parentAgent && !other.agent);
    return run.session !== undefined && other.session === run.session && !other.agent;
  };
  return runs.find(hasStarted);
}

export const costOfRun = run => sum(run.all, one => sum(one.calls, costOf));

/** The tools of the run and of its sub-agents: [name, number of calls, number of failures]. */
function toolsOf(run) {
  const tools = new Map();
  for (const tool of run.all.flatMap(one => one.tools)) {
    const name = of(tool, 'gen_ai.tool.name') ?? 'not named';
    const [calls, failures] = tools.get(name) ?? [0, 0];
    tools.set(name, [calls + 1, failures + (tool.failed ? 1 : 0)]);
  }
  return [...tools].map(([name, [calls, failures]]) => [name, calls, failures]);
}

const titleOf = run => run.agentName ?? (run.agent ? 'Sub-agent' : run.client ?? modelOf(run.calls[0] ?? run.ended ?? {attributes: {}}));
const toneOf = run => ({completed: 'good', running: 'quiet', unknown: 'quiet', cancelled: 'quiet'})[run.status] ?? 'bad';

/** The runs that are drawn at first, and at most. */
const [FEW, MOST] = [8, 200];

const opened = new Set();
let isLong = false;

export function drawRuns(runs, now) {
  const shown = runs.slice(0, isLong ? MOST : FEW);
  write($('runs-note'), shown.length < runs.length ? `the last ${shown.length} of ${runs.length}` : '');
  $('runs-more').hidden = runs.length <= FEW;
  write($('runs-more'), isLong ? 'Show fewer' : 'Show more');
  list($('runs'), template('run'), shown.map(run => {
    const [calls, tools, helpers] = [sum(run.all, one => one.calls.length), toolsOf(run), run.all.length - 1];
    const failures = run.all.flatMap(one => one.tools.filter(tool => tool.failed).map(tool => `${of(tool, 'gen_ai.tool.name') ?? 'a tool'}${one === run ? '' : ` of ${titleOf(one)}`} failed`));
    const story = [STORIES[run.status]?.(run), ...new Set(failures)].filter(Boolean);
    return {
      key: run.span, run, tools, tone: toneOf(run),
      title: titleOf(run), status: run.status.replace('_', ' '),
      where: [clock(run.start), run.session && `session ${brief(run.session)}`, helpers && number(helpers, 'sub-agent')].filter(Boolean).join(' · '),
      story: story.join(' · '),
      calls: [number(calls, 'call'), calls], iterations: number(run.iterations, 'iteration'),
      whole: [lasted((run.status === 'running' ? now : run.end) - run.start), run.end - run.start],
      cost: [(run.isPart ? 'at least ' : '') + usd(costOfRun(run)), costOfRun(run)],
    };
  }), (row, {run, tools}) => {
    list(row.querySelector('.tools'), template('chip'), tools.map(([name, calls, failures]) => ({
      key: name, tool: name, tone: failures ? 'bad' : '', times: failures ? (calls > 1 ? `${failures} of ${calls} failed` : 'failed') : calls > 1 ? `${calls} ×` : '',
    })));
    const [button, steps] = [row.querySelector('button'), row.querySelector('.steps')];
    button.setAttribute('aria-expanded', opened.has(run.span));
    button.setAttribute('aria-controls', steps.id ||= `steps-${run.span}`);
    steps.hidden = !opened.has(run.span);
    if (!steps.hidden) drawSteps(steps, run);
  });
}

const brief = id => id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id;

export function watchRuns(redraw) {
  $('runs-more').addEventListener('click', () => {
    isLong = !isLong;
    redraw();
  });
  $('runs').addEventListener('click', ({target}) => {
    const [row, step] = [target.closest('.run'), target.closest('.step button')];
    if (step) return dialog(step.closest('.step').item);
    // The whole head of a run opens it.
    if (!row || target.closest('.steps')) return;
    if (!opened.delete(row.dataset.key)) opened.add(row.dataset.key);
    redraw();
  });
  $('runs').addEventListener('keydown', event => {
    const row = event.target.closest('.run');
    if (event.key !== 'Escape' || !row || !opened.delete(row.dataset.key)) return;
    redraw();
    row.querySelector('button').focus();
  });
}

/** Draws the calls, tools and sub-agents of a run on one axis of time. */
function drawSteps(place, run) {
  const [from, to] = [run.start, Math.max(...run.all.map(one => one.end), run.start + 1)];
  const share = at => Math.min(Math.max((at - from) / (to - from), 0), 1);
  const rows = [];
  const add = (level, item, row) => {
    const [start, end] = [share(item.start), share(item.end)];
    rows.push({key: item.span, item, ...row, amount: row.amount ?? '', took: [lasted(item.end - item.start), item.end - item.start], style: {level, from: start, width: end - start, first: row.first ?? 0}});
  };
  const walk = (one, level) => {
    if (level) add(level - 1, one, {isRun: true, label: titleOf(one), note: `sub-agent, ${one.status.replace('_', ' ')}`, tone: toneOf(one), amount: usd(costOfRun(one))});
    const steps = [...one.calls, ...one.tools, ...one.children].sort((a, b) => a.start - b.start || b.end - a.end);
    for (const step of steps) {
      if (step.children) walk(step, level + 1);
      else if (step.kind === 'tool') add(level, step, {label: of(step, 'gen_ai.tool.name') ?? 'not named', note: step.failed ? 'tool, failed' : 'tool', tone: step.failed ? 'bad' : 'tool'});
      else {
        const first = firstOf(step);
        add(level, step, {
          isCall: true, label: modelOf(step), tone: hasFailed(step) ? 'bad' : 'call', amount: costOf(step) ? usd(costOf(step)) : '',
          note: hasFailed(step) ? reasonOf(step) || outcomeOf(step) : names(of(step, 'gaugeway.tool_call.names') ?? []) && `calls ${names(of(step, 'gaugeway.tool_call.names'))}`,
          first: first === undefined ? 1 : Math.min(first / (durationOf(step) || 1), 1),
        });
      }
    }
  };
  walk(run, 0);
  write(place.querySelector('.span'), `Trace ${run.trace}${run.session ? ` · session ${run.session}` : ''}${run.isPart ? ' · the first calls are no longer kept' : ''}`);
  list(place.querySelector('ol'), template('step'), rows, (row, {item, isCall, isRun}) => {
    row.item = item;
    row.classList.toggle('inner', Boolean(isRun));
    const label = row.querySelector('[data-f=label]');
    if (isCall && label.localName !== 'button') label.replaceWith(make('button', {type: 'button', 'data-f': 'label', 'aria-haspopup': 'dialog'}, label.textContent));
  });
}

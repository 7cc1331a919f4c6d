// The page: reads its inputs again after each edit. After it has loaded, it makes no requests.
import {span} from '../otlp.js';
import {aim, body, marks, strip} from './bodies.js';
import {isCurl} from './curl.js';
import {broken, id, make} from './dom.js';
import {masked, parseCurl, parseHar, parseRequest, parseResponse} from './input.js';
import {faultOf, keyOf} from './place.js';
import {courses, knownAt, read} from './reading.js';

/** Options of the package that are not part of the configuration. */
const OWN = ['onError', 'onObservation', 'route', 'waitUntil'];

/** Measured while this page reads the bytes, so they say nothing about the call. */
const TIMES = /time_to_first|chunk_gap|duration|per_output_token/;

/** A larger text is not put into a textarea. */
const SHOWN = 200_000;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Bytes that a textarea cannot represent: other line ends, invalid UTF-8 or too much text. An edit replaces them. */
const whole = {request: undefined, response: undefined};

/** What was done with a pasted text, until it is edited. */
const notes = {request: undefined, response: undefined};
let har = [];
let waiting;
let turn = 0;
let shown;

for (const name of ['request', 'response']) {
  id(name).addEventListener('input', () => {
    whole[name] = notes[name] = undefined;
    press();
    if (/^\s*\{\s*"log"/.test(id(name).value)) take(id(name).value, name);
    later();
  });
}
// A pasted command is shown as the request that it sends, without its secrets. A typed one stays as it is.
id('request').addEventListener('paste', event => {
  const text = event.clipboardData.getData('text');
  if (!isCurl(text)) return;
  event.preventDefault();
  put(encoder.encode(text), 'request');
});
id('config').addEventListener('input', later);
for (const name of ['cut', 'ending']) id(name).addEventListener('change', now);
id('entries').addEventListener('change', () => choose(har[id('entries').value]));
id('step').addEventListener('input', () => scrub(Number(id('step').value)));
id('file').addEventListener('change', async ({target}) => {
  if (target.files[0]) await open(target.files[0]);
  target.value = '';
});
addEventListener('dragover', event => {
  event.preventDefault();
  document.body.classList.add('over');
});
addEventListener('dragleave', ({relatedTarget}) => relatedTarget ?? document.body.classList.remove('over'));
addEventListener('drop', event => {
  event.preventDefault();
  document.body.classList.remove('over');
  const [file] = event.dataTransfer.files;
  const onto = event.target.id === 'request' || event.target.htmlFor === 'request' ? 'request' : undefined;
  if (file) open(file, onto);
  else take(event.dataTransfer.getData('text'), onto);
});

addEventListener('click', event => {
  const [, number] = /^#mark-(\d+)$/.exec(event.target.closest?.('a')?.getAttribute('href') ?? '') ?? [];
  if (!number) return;
  event.preventDefault();
  aim(number);
});
new ResizeObserver(() => {
  if (shown) for (const part of ['request', 'response']) strip(part, marks(shown).filter(place => place.part === part));
}).observe(id('where'));

// Loads all examples now, so that no request is made later.
const buttons = [...document.querySelectorAll('[data-example]')];
try {
  await Promise.all(buttons.map(async button => {
    const [request, response] = await Promise.all(['request', 'response'].map(async part => {
      const answer = await fetch(`examples/${button.dataset.example}/${part}.http`);
      if (!answer.ok) throw new Error(`${answer.url} returned status ${answer.status}`);
      return new Uint8Array(await answer.arrayBuffer());
    }));
    button.addEventListener('click', () => choose({request, response}, button));
  }));
  buttons[0].click();
} catch (error) {
  complain(error);
  now();
}

async function open(file, onto) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (/\.har$/i.test(file.name) || /^\s*\{\s*"log"/.test(decoder.decode(bytes.subarray(0, 256)))) take(decoder.decode(bytes), onto);
  else put(bytes, onto);
}

/** Reads the calls of a HAR file, or text for one side. */
async function take(text, onto) {
  const calls = parseHar(text);
  if (!calls) return put(encoder.encode(text), onto);
  complain();
  har = [];
  for (const call of calls) {
    try {
      // The core decides which calls are LLM calls.
      if (await read({}, parseRequest(call.request), parseResponse(call.response), {cut: 'whole', ending: 'whole'})) har.push(call);
    } catch {
      // A call that cannot be parsed is not an LLM call.
    }
  }
  id('calls').hidden = !har.length;
  id('entries').replaceChildren(...har.map(({title}, at) => new Option(`${at + 1}. ${title}`, at)));
  if (har.length) choose(har[0]);
  else complain(new Error(calls.length ? `None of the ${calls.length} calls in the HAR file is an LLM call that Gaugeway knows.` : 'No call in the HAR file can be read.'));
}

function put(bytes, onto) {
  let command;
  try {
    command = onto !== 'response' && parseCurl(bytes);
  } catch {
    // The command stays as it is, but without its secrets, and its error is shown beside it.
    bytes = encoder.encode(masked(decoder.decode(bytes)));
  }
  const isRequest = command || /^[A-Z]+ \S+/.test(decoder.decode(bytes.subarray(0, 64))) || isCurl(decoder.decode(bytes.subarray(0, 4096)));
  const part = onto ?? (isRequest ? 'request' : 'response');
  // The response of an example does not belong to another request.
  if (part === 'request' && buttons.some(button => button.getAttribute('aria-pressed') === 'true')) fill('response', new Uint8Array());
  press();
  fill(part, command || bytes);
  if (command) notes.request = 'Converted from a curl command. Paste its output below: curl -i also prints the status and the headers.';
  now();
}

function choose({request, response}, button) {
  complain();
  press(button);
  fill('request', request);
  fill('response', response);
  now();
}

function press(button) {
  for (const one of buttons) one.setAttribute('aria-pressed', one === button);
}

function fill(name, bytes) {
  whole[name] = bytes;
  notes[name] = undefined;
  id(`${name}-body`).scrollTop = 0;
  const more = bytes.length - SHOWN;
  const text = decoder.decode(bytes.subarray(0, SHOWN));
  id(name).value = more > 0 ? `${text}\n… and ${more.toLocaleString('en')} bytes, which are read too unless you edit this text` : text;
}

function later() {
  clearTimeout(waiting);
  id('results').setAttribute('aria-busy', 'true');
  waiting = setTimeout(now, 300);
}

async function now() {
  clearTimeout(waiting);
  const own = ++turn;
  id('results').setAttribute('aria-busy', 'true');
  const [configuration, request, response] = [settings(), side('request', parseRequest), side('response', parseResponse)];
  const [cut, ending] = [Number(id('cut').value) || id('cut').value, id('ending').value];
  let seen;
  let said = 'Correct the marked fields first.';
  if (configuration && request && response) {
    try {
      seen = await read(configuration, request, response, {cut, ending});
      said = seen ? '' : 'No LLM traffic: this is no API that Gaugeway knows, by its method, host and path, or by its body.';
    } catch (error) {
      if (!(error instanceof TypeError) || !misfit(error.message.replace(/^gaugeway: /, ''))) said = String(error.message ?? error);
    }
  }
  // The inputs may have been edited in the meantime.
  if (own !== turn) return;
  shown = seen && {...seen, request, response, courses: courses(seen.changes)};
  id('status').hidden = !said;
  id('status').textContent = said;
  id('seen').hidden = !seen;
  if (seen) draw();
  id('results').setAttribute('aria-busy', 'false');
}

function side(name, parse) {
  const area = id(name);
  let parsed;
  let note;
  try {
    parsed = parse(whole[name] ?? encoder.encode(area.value));
    note = notes[name] ?? parsed.note;
  } catch (error) {
    note = error.message;
  }
  area.toggleAttribute('aria-invalid', !parsed);
  if (!parsed) area.setAttribute('aria-invalid', 'true');
  id(`${name}-note`).textContent = note ?? '';
  id(`${name}-note`).classList.toggle('bad', !parsed);
  return parsed;
}

/** Returns the configuration, or undefined after showing its error. */
function settings() {
  const text = id('config').value.trim() || '{}';
  const fault = faultOf(id('config').value.trim() ? id('config').value : '{}');
  refuse();
  if (fault) return refuse(`The configuration is not JSON: ${fault.why}`, fault);
  const value = JSON.parse(text);
  if (typeof value !== 'object' || Array.isArray(value) || !value) return refuse('The configuration must be a JSON object such as {}');
  const own = OWN.find(name => name in value);
  return own ? void misfit(`${own}: not a key of the plugin’s configuration`) : value;
}

function misfit(message) {
  refuse(message, keyOf(id('config').value, message));
  return true;
}

/** Shows the error below the configuration, with the line of the key and a button that goes to it. */
function refuse(message, place) {
  const area = id('config');
  if (message) area.setAttribute('aria-invalid', 'true');
  else area.removeAttribute('aria-invalid');
  id('config-problem').replaceChildren(...(message ? [make('p', {}, message)] : []));
  if (!place) return;
  const text = area.value;
  const start = text.lastIndexOf('\n', place.start - 1) + 1;
  const end = (text.indexOf('\n', place.start) + 1 || text.length + 1) - 1;
  const line = text.slice(0, place.start).split('\n').length;
  const excerpt = make('pre', {}, text.slice(Math.max(start, place.start - 60), place.start), make('mark', {}, text.slice(place.start, place.end)));
  excerpt.append(text.slice(place.end, Math.max(place.end, Math.min(end, place.end + 60))));
  const go = make('button', {type: 'button'}, `Go to line ${line}`);
  go.addEventListener('click', () => {
    area.focus();
    area.setSelectionRange(place.start, place.end);
  });
  id('config-problem').append(excerpt, go);
}

function draw() {
  const {observation: seen, details, steps, grain} = shown;
  const cost = seen['gaugeway.cost.usd'];
  const sum = {
    Outcome: seen['gaugeway.outcome'],
    Call: `${seen['gen_ai.operation.name']}, ${seen['gen_ai.provider.name']}`,
    Model: seen['gen_ai.response.model'] ?? seen['gen_ai.request.model'],
    'Input tokens': seen['gen_ai.usage.input_tokens']?.toLocaleString('en'),
    'Output tokens': seen['gen_ai.usage.output_tokens']?.toLocaleString('en'),
    Cost: cost === undefined ? seen['gaugeway.cost.status']?.replace('_', ' ') : `$${cost.toFixed(9).replace(/0{1,6}$/, '')}`,
    Error: seen['error.type'],
    'Parse errors': seen['gaugeway.parse_error'],
  };
  const entries = Object.entries(sum).filter(([, value]) => value !== undefined);
  const isBad = (name, value) => ['Error', 'Parse errors'].includes(name) || (name === 'Outcome' && value !== 'completed');
  id('sum').replaceChildren(...entries.map(([name, value]) =>
    make('div', {}, make('dt', {}, name), make('dd', isBad(name, value) ? {class: 'bad'} : {}, value)),
  ));

  const hint = silence(seen);
  id('hint').hidden = !hint;
  id('hint').textContent = hint;

  id('grain').textContent = typeof grain === 'number'
    ? `Read in pieces of ${grain === 1 ? '1 byte' : `${grain.toLocaleString('en')} bytes`}. A mark ends where an attribute was first known or last changed.`
    : 'A mark is the piece after which an attribute was first known or last changed.';
  const places = marks(shown);
  for (const part of ['request', 'response']) body(part, shown[part].body, places.filter(place => place.part === part));
  table(places);
  id('step').max = steps.length - 1;
  id('step').value = steps.length - 1;
  scrub(steps.length - 1);

  const samples = details.samples.filter(({name}) => !TIMES.test(name));
  const written = samples.map(({labels}) => Object.entries(labels).map(([key, label]) => `${key}=${JSON.stringify(label)}`));
  const common = (written[0] ?? []).filter(label => written.every(labels => labels.includes(label)));
  id('labels').textContent = common.length ? `All with ${common.join(', ')}` : '';
  id('metrics').replaceChildren(...samples.map(({name, kind, value}, at) => {
    const own = [kind, ...written[at].filter(label => !common.includes(label))].join(', ');
    return make('li', {}, make('code', {}, ...broken(name), ' ', make('b', {}, String(value))), ' ', make('span', {}, own));
  }));
  id('observation').textContent = JSON.stringify(seen, null, 2);
  id('span').textContent = JSON.stringify(span(seen, {...details, headers: shown.request.headers}), null, 2);
}

/** The reason why there are no token counts, if it is the request's. */
function silence(seen) {
  const silent = shown.response.body.length && seen['gen_ai.usage.output_tokens'] === undefined && seen['gaugeway.outcome'] === 'completed' && !seen['gaugeway.parse_error'];
  if (!silent || !['chat', 'text_completion'].includes(seen['gen_ai.operation.name'])) return '';
  let asked;
  try {
    asked = JSON.parse(decoder.decode(shown.request.body));
  } catch {
    // Without a readable request nothing is known of its options.
  }
  // Only OpenAI's chat and completions APIs, which have a list of choices, and those that copy them have the option.
  const isOpenAi = /"choices"\s*:/.test(decoder.decode(shown.response.body.subarray(0, 4096)));
  if (!seen['gen_ai.request.stream'] || !isOpenAi) return 'No token counts: the answer has none, so there is no cost.';
  if (asked?.stream_options?.include_usage === true) return 'No token counts, although the request sets stream_options.include_usage: the stream was cut, or this provider ignores the option.';
  return 'No token counts, so no cost: a chat stream has them only if the request sets "stream_options": {"include_usage": true}. The plugin’s setting stream_usage.inject adds the option to requests and hides its effect from the client.';
}

function table(places) {
  const numbers = new Map(places.map(({step, number}) => [step, number]));
  const link = step => {
    const {name} = shown.steps[step];
    const brief = name.replace(/^(after|with|at) (the )?/, '').replace(/byte (\S+) of the (\w+)/, '$2 byte $1').replace('’s', '');
    return numbers.has(step) ? make('a', {href: `#mark-${numbers.get(step)}`}, `${brief} (${numbers.get(step)})`) : brief;
  };
  const rows = [...shown.courses.values()].map(({key, first, last, count}) => {
    const where = make('td', {}, link(first));
    if (count > 1) where.append(make('br'), `changed ${count - 1} ×, last `, link(last));
    return make('tr', {'data-key': key}, make('th', {scope: 'row'}, ...broken(key)), make('td'), where);
  });
  id('attributes').replaceChildren(...rows);
}

/** Shows the attributes known after a step. */
function scrub(step) {
  const known = knownAt(shown.changes, step);
  for (const row of id('attributes').children) {
    const {key} = row.dataset;
    const value = known.get(key);
    row.classList.toggle('later', value === undefined);
    const words = value === undefined ? 'not yet' : Array.isArray(value) ? value.join(', ') : String(value);
    row.children[1].textContent = TIMES.test(key) && value !== undefined ? `${value.toPrecision(2)} s (measured in this page)` : words;
  }
  for (const mark of document.querySelectorAll('[data-step]')) mark.classList.toggle('later', Number(mark.dataset.step) > step);
  id('step-name').textContent = shown.steps[step].name;
  id('step').setAttribute('aria-valuetext', shown.steps[step].name);
}

function complain(error) {
  id('problem').hidden = !error;
  id('problem').textContent = error ? String(error.message ?? error) : '';
}

// Feeds one exchange to the core piece by piece and records after each piece which attributes appeared or changed.
import {createObserver} from '../browser.js';

/** Maximum number of pieces of one exchange. Pieces of large bodies are larger. */
const LOOKS = 20_000;

/**
 * Returns undefined if it is not LLM traffic. The steps are both heads, each piece of a body and both ends. The changes are in
 * the order of the steps.
 */
export async function read(configuration, request, response, {cut, ending}) {
  let observation;
  let details;
  const faults = [];
  const observer = createObserver({
    ...configuration,
    onObservation: (...told) => ([observation, details] = [told[0], {...told[1], samples: told[1].samples()}]),
    onError: error => faults.push(error),
  });
  const exchange = observer.start(request);
  if (faults.length) throw faults[0];
  if (!exchange) return;

  const least = Math.ceil((request.body.length + response.body.length) / LOOKS);
  const steps = [];
  const changes = [];
  let known = {};
  const look = (step, now = exchange.attributes() ?? known) => {
    steps.push(step);
    for (const key of new Set([...Object.keys(known), ...Object.keys(now)])) {
      if (!same(known[key], now[key])) changes.push({step: steps.length - 1, key, value: now[key]});
    }
    known = now;
  };

  look({part: 'request', name: 'with the request’s head'});
  for (const [start, end] of pieces(request.body, cut, least)) {
    exchange.requestBody(request.body.subarray(start, end));
    look({part: 'request', start, end, name: `after byte ${end.toLocaleString('en')} of the request`});
  }
  exchange.requestEnd();
  look({part: 'request', name: 'at the request’s end'});
  exchange.response(response);
  look({part: 'response', name: 'with the response’s head'});
  for (const [start, end] of pieces(response.body, cut, least)) {
    exchange.responseBody(response.body.subarray(start, end));
    look({part: 'response', start, end, name: `after byte ${end.toLocaleString('en')} of the response`});
  }
  exchange.finish(ending);
  await exchange.done;
  if (faults.length) throw faults[0];
  if (!observation) return;
  look({part: 'response', name: 'at the end'}, observation);
  return {observation, details, steps, changes, grain: typeof cut === 'number' ? Math.max(cut, least) : cut};
}

/** Where each attribute was first known, where it changed last, and how often. */
export function courses(changes) {
  const courses = new Map();
  for (const {key, step, value} of changes) {
    const course = courses.get(key) ?? {key, first: step, count: 0};
    courses.set(key, {...course, last: step, count: course.count + 1, value});
  }
  return courses;
}

/** The attributes known after a step. */
export function knownAt(changes, step) {
  const known = new Map();
  for (const change of changes) {
    if (change.step > step) break;
    known.set(change.key, change.value);
  }
  return known;
}

function* pieces(body, cut, least) {
  if (cut === 'whole') {
    if (body.length) yield [0, body.length];
    return;
  }
  const events = cut === 'events' && (ends(body, 2) ?? ends(body, 1));
  for (let start = 0, end; start < body.length; start = end) {
    end = start + Math.max(typeof cut === 'number' ? cut : 1, least);
    if (events) {
      // The first event that ends at or after this position.
      while (events.length && events[0] < end) events.shift();
      end = events[0] ?? body.length;
    }
    end = Math.min(end, body.length);
    yield [start, end];
  }
}

/** The positions after `wanted` successive line ends, or undefined if there are none. */
function ends(body, wanted) {
  const found = [];
  let lines = 0;
  for (const [at, byte] of body.entries()) {
    if (byte === 10) lines++;
    else if (byte !== 13) lines = 0;
    if (byte === 10 && lines === wanted) {
      found.push(at + 1);
      lines = 0;
    }
  }
  return found.length ? found : undefined;
}

function same(one, other) {
  return one === other || (typeof one === 'object' && JSON.stringify(one) === JSON.stringify(other));
}

// One exchange: passes its bytes to the core and reports the observation once. No error here affects the traffic.
import {Core, loadPrices} from './core.js';
import {prices} from './prices.js';
import {watched} from './stream.js';

/** Differences between platforms. */
export const platform = {sendsStreams: true};

/** Options that are not part of the plugin's configuration. */
const OWN = ['onError', 'onObservation', 'route', 'waitUntil'];

/** Maximum size of a piece in bytes. The core's memory grows to the largest piece it was ever given and never shrinks. */
const PIECE = 32768;

/** Cores by configuration. */
const cores = new Map();
const CORES = 64;

const encoder = new TextEncoder();
const buffer = new Uint8Array(PIECE);

export class Observer {
  #core;
  #options;

  constructor(options = {}) {
    this.#options = options;
    this.#core = core(options);
  }

  start({method = 'POST', url, headers}) {
    const {protocol, host, pathname, search} = new URL(url, globalThis.location?.href);
    const scheme = protocol.slice(0, -1);
    const fields = new Headers(headers);
    const lines = [':method', method.toUpperCase(), ':scheme', scheme, ':authority', host, ':path', pathname + search];
    const start = now();
    try {
      const exchange = this.#core.start(head(lines, fields), start);
      return exchange && new Exchange(exchange, this.#options, {method, url: String(url), headers: fields, start});
    } catch (error) {
      report(this.#options, error);
    }
  }
}

export class Exchange {
  #wasm;
  #options;
  #details;
  #settle;

  constructor(wasm, options, details) {
    this.#wasm = wasm;
    this.#options = options;
    this.#details = {...details, route: options.route};
    this.done = new Promise(settle => (this.#settle = settle));
    if (options.route) this.#safely(() => wasm.route(options.route));
    // Registered at once, because the runtime may stop the script when the client disconnects.
    options.waitUntil?.(this.done);
  }

  requestBody(chunk) {
    this.#safely(() => pieces(chunk, piece => this.#wasm.requestBody(piece)));
  }

  requestEnd() {
    this.#safely(() => this.#wasm.requestEnd(now()));
  }

  response({status, headers}) {
    this.#details.status = status;
    const fields = new Headers(headers);
    this.#safely(() => this.#wasm.response(head([':status', status], fields), now()));
  }

  responseBody(chunk) {
    const at = now();
    this.#safely(() => pieces(chunk, piece => this.#wasm.responseBody(piece, at)));
  }

  finish(end = 'whole') {
    const end_time = now();
    const wasm = this.#wasm;
    this.#safely(() => wasm.finish(end, end_time));
    // Only once, and not after an error.
    if (!this.#wasm) return;
    this.#wasm = undefined;
    this.#tell(wasm, end_time).then(this.#settle);
  }

  attributes() {
    return this.#wasm && JSON.parse(this.#wasm.attributes());
  }

  isRecognised() {
    return this.#wasm?.isRecognised() ?? false;
  }

  /** Returns the same body, which is read as it is consumed. */
  readRequest(body) {
    return watched(body, {
      chunk: chunk => this.requestBody(chunk),
      end: () => this.requestEnd(),
      failed: () => {},
      cancelled: () => {},
    });
  }

  /** Returns the same response, which is read as it is consumed. */
  readResponse(response, signal) {
    // fetch decodes the body but keeps the content-encoding header.
    const headers = new Headers(response.headers);
    headers.delete('content-encoding');
    this.response({status: response.status, headers});
    if (!response.body) {
      this.finish();
      return response;
    }
    let body = watched(response.body, {
      bytes: true,
      chunk: chunk => this.responseBody(chunk),
      end: () => this.finish(),
      failed: error => this.finish(reason(error, signal)),
      cancelled: () => this.finish('client_disconnect'),
    });
    const length = response.headers.get('content-length');
    // Workers send a script's stream in chunks unless its length is given this way.
    if (globalThis.FixedLengthStream && length && !response.headers.has('content-encoding')) {
      body = body.pipeThrough(new FixedLengthStream(Number(length)));
    }
    const same = new Response(body, response);
    for (const name of ['redirected', 'type', 'url']) {
      Object.defineProperty(same, name, {value: response[name], configurable: true, enumerable: true});
    }
    return same;
  }

  async #tell(wasm, end) {
    try {
      if (!wasm.isRecognised()) return;
      const observation = JSON.parse(wasm.attributes());
      const {onObservation} = this.#options;
      let samples;
      const details = {...this.#details, end, samples: () => (samples ??= JSON.parse(wasm.samples()))};
      await onObservation?.(observation, details);
      return observation;
    } catch (error) {
      report(this.#options, error);
    } finally {
      wasm.free();
    }
  }

  /** An error of the core ends the observation, not the exchange. */
  #safely(step) {
    if (!this.#wasm) return;
    try {
      step();
    } catch (error) {
      this.#wasm = undefined;
      this.#settle();
      report(this.#options, error);
    }
  }
}

/** The outcome of an exchange in which fetch or a body's stream failed with an error. */
export function reason(error, signal) {
  if (signal?.aborted) error = signal.reason;
  const names = [error?.name, error?.code, error?.cause?.name, error?.cause?.code];
  if (names.some(name => /timeout|timed_?out/i.test(name))) return 'timeout';
  return signal?.aborted || error?.name === 'AbortError' ? 'client_disconnect' : 'upstream_reset';
}

/** Returns the core for a configuration. Options that differ only in callbacks share a core. */
function core(options) {
  const own = Object.entries(options).filter(([name, value]) => !OWN.includes(name) && value !== undefined);
  const text = JSON.stringify(Object.fromEntries(own));
  let core = cores.get(text);
  if (!core) {
    if (!cores.size) loadPrices(prices);
    try {
      core = new Core(text);
    } catch (error) {
      throw typeof error === 'string' ? new TypeError(`gaugeway: ${error}`) : error;
    }
    // Running exchanges keep references to what they need.
    if (cores.size >= CORES) {
      const [oldest] = cores.keys();
      cores.get(oldest).free();
      cores.delete(oldest);
    }
    cores.set(text, core);
  }
  return core;
}

function head(lines, headers) {
  for (const [name, value] of headers) lines.push(name, value);
  return lines.join('\n');
}

/** Passes on text or bytes in small pieces. */
function pieces(chunk, use) {
  if (typeof chunk === 'string') {
    for (let at = 0; at < chunk.length; ) {
      const {read, written} = encoder.encodeInto(slice(chunk, at), buffer);
      use(buffer.subarray(0, written));
      at += read;
    }
    return;
  }
  const bytes = ArrayBuffer.isView(chunk)
    ? new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    : new Uint8Array(chunk);
  for (let at = 0; at < bytes.length; at += PIECE) use(bytes.subarray(at, at + PIECE));
}

/** The largest piece of text that fits the buffer and does not split a surrogate pair. */
function slice(text, at) {
  const end = at + PIECE / 4;
  const split = end < text.length && /[\uD800-\uDBFF]/.test(text[end - 1]);
  return text.slice(at, split ? end - 1 : end);
}

function report({onError = console.error}, error) {
  try {
    onError(error);
  } catch {
    // An error of the error handler is ignored.
  }
}

function now() {
  return performance.timeOrigin + performance.now();
}

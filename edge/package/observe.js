// Wraps fetch, or a request and its response.
import {Observer, platform, reason} from './exchange.js';

/** Exchanges whose request has been observed and whose response has not. */
const begun = new WeakMap();

export function createObserver(options) {
  return new Observer(options);
}

export function observe(fetch, options) {
  const observer = createObserver(options);
  return async (input, init) => {
    const call = {...described(input, init)};
    const exchange = call.url && observer.start(call);
    if (!exchange) return fetch(input, init);
    const signal = init?.signal ?? input.signal;
    let response;
    try {
      const [ownInput, ownInit, beside] = await watchedRequest(exchange, call, input, init);
      response = await fetch(ownInput, ownInit);
      await beside;
    } catch (error) {
      exchange.finish(reason(error, signal));
      throw error;
    }
    return exchange.readResponse(response, signal);
  };
}

export function observeRequest(request, options) {
  const exchange = createObserver(options).start(request);
  if (!exchange) return request;
  let seen = request;
  if (request.body) {
    seen = new Request(request, {body: sized(exchange.readRequest(request.body), request), duplex: 'half'});
  } else {
    exchange.requestEnd();
  }
  begun.set(seen, exchange);
  return seen;
}

export function observeResponse(request, response, options) {
  let exchange = begun.get(request);
  begun.delete(request);
  if (!exchange) {
    exchange = createObserver(options).start(request);
    if (!exchange) return response;
    const whole = known(request.body);
    if (whole !== undefined) {
      exchange.requestBody(whole);
      exchange.requestEnd();
    }
  }
  return exchange.readResponse(response, request.signal);
}

/** Method, URL, headers and body of a call as fetch will send them. */
function described(input, init) {
  const request = input instanceof Request ? input : undefined;
  const url = request?.url ?? String(input);
  if (!URL.canParse(url, globalThis.location?.href)) return {};
  const method = init?.method ?? request?.method ?? 'GET';
  const headers = new Headers(init?.headers ?? request?.headers);
  let body = init?.body ?? request?.body;
  if (isComposed(body) && method.toUpperCase() === 'POST') {
    // The parts are serialised here, because each serialisation has another boundary.
    body = new Response(body);
    const type = body.headers.get('content-type');
    if (type) headers.set('content-type', type);
  }
  return {method, url, headers, body};
}

/** Returns the arguments for fetch with which the body is observed, and a promise to wait for, if any. */
async function watchedRequest(exchange, {body}, input, init) {
  const whole = known(body);
  if (whole !== undefined || !body) {
    if (whole) exchange.requestBody(whole);
    exchange.requestEnd();
  } else if (body instanceof Response) {
    return [input, init, drain(exchange.readRequest(body.body))];
  } else if (init?.body === body) {
    const stream = body instanceof ReadableStream ? body : ReadableStream.from?.(body);
    if (stream) return [input, {...init, body: exchange.readRequest(stream), duplex: 'half'}];
  } else if (platform.sendsStreams) {
    return [new Request(input, {body: sized(exchange.readRequest(body), input), duplex: 'half'}), init];
  } else {
    const bytes = await input.arrayBuffer();
    exchange.requestBody(bytes);
    exchange.requestEnd();
    return [new Request(input, {body: bytes}), init];
  }
  return [input, init];
}

/** Returns text or bytes that can be read without a stream, otherwise undefined. */
function known(body) {
  if (typeof body === 'string' || body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body;
  if (body instanceof URLSearchParams) return String(body);
}

function isComposed(body) {
  return body instanceof Blob || body instanceof FormData;
}

/** Workers send a script's stream in chunks unless its length is given this way. */
function sized(stream, request) {
  const length = request.headers.get('content-length');
  return globalThis.FixedLengthStream && length ? stream.pipeThrough(new FixedLengthStream(Number(length))) : stream;
}

async function drain(stream) {
  const reader = stream.getReader();
  while (!(await reader.read()).done);
}

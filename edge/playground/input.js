// Parses what users paste or drop: a request, a curl command, a response, a stream or a HAR file.
import {isCurl, readCurl} from './curl.js';

/** Names of headers and of query parameters that must not appear in a screenshot. The core does not read them. */
const SECRET = /auth(orization)?$|cookie|(api|subscription|access|auth)[-_]?key$|token$|secret|password|signature/i;
const SECRET_PARAMETER = /^(key|sig|code)$/i;

/** The same in the text of a command: a header up to the end of its word or line, an option, and a variable or a query parameter. */
const SECRETS_IN_TEXT = [
  /((?:auth|authorization|cookie|(?:api|subscription|access|auth)[-_]?key|token|secret|password|signature)\s*:[ \t]*).*?(?=\^?["'](?:\s|$)|$)/gim,
  /((?:^|\s)(?:-[a-z]*[ub](?=[\s"'])|-[ub]|--(?:user|proxy-user|oauth2-bearer|cookie)(?=[\s=]))[\s=]*)(?:\^?"[^"]*"|'[^']*'|\S+)/gi,
  /((?:key|auth|authorization|token|secret|password|signature|\bsig|\bcode)=)(?:"[^"]*"|'[^']*'|[^&\s"']+)/gi,
];

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Returns method, URL, headers and body. Throws an error that says what is wrong. */
export function parseRequest(bytes) {
  const command = parseCurl(bytes);
  if (command) return {...parseRequest(command), note: 'Read as a curl command.'};
  const {first, headers, body} = split(bytes);
  const [, method, target] = /^([A-Z]+) (\S+)/.exec(first) ?? [];
  if (!method) throw new Error('The request has no first line. It must start with a line such as POST https://api.openai.com/v1/chat/completions, or be a curl command.');
  const host = headers.get('host');
  if (!/^https?:/.test(target) && !host) throw new Error(`${target} has no host. Add a line such as host: api.openai.com, or write the whole URL.`);
  const url = new URL(target, host ? `https://${host}` : undefined);
  return {method, url: url.href, headers, body};
}

/** Returns the request of a curl command as bytes without its secrets, or undefined if it is no curl command. */
export function parseCurl(bytes) {
  const text = decoder.decode(bytes);
  if (!isCurl(text)) return;
  const {method, url, headers, body} = readCurl(text);
  return written(`${method} ${discreet(url)}`, headers.map(([name, value]) => ({name, value})), encoder.encode(body));
}

/** Returns the text of a command that cannot be read without its secrets. */
export function masked(text) {
  return SECRETS_IN_TEXT.reduce((rest, secret) => rest.replace(secret, '$1hidden'), text);
}

/** Returns status, headers and body, with a note if the headers had to be guessed. */
export function parseResponse(bytes) {
  const {first, headers, body} = split(bytes);
  const [, status] = /^(?:HTTP\/[\d.]+ )?([1-5]\d\d)(?: |$)/.exec(first) ?? [];
  if (status) return {status: Number(status), headers, body};
  const type = /^\s*[[{]/.test(decoder.decode(bytes.subarray(0, 64))) ? 'application/json' : 'text/event-stream';
  const note = bytes.length ? `No headers: read as status 200 and ${type}.` : 'No response yet.';
  return {status: 200, headers: new Headers({'content-type': type}), body: bytes, note};
}

/** Returns the calls of a HAR file that can be read, with requests and responses as text, or undefined if it is not a HAR file. */
export function parseHar(text) {
  let har;
  try {
    har = JSON.parse(text);
  } catch {
    return;
  }
  const entries = har?.log?.entries;
  if (!Array.isArray(entries)) return;
  return entries.flatMap(entry => {
    try {
      return [call(entry)];
    } catch {
      return [];
    }
  });
}

function call({request, response = {}}) {
  const content = response.content ?? {};
  const answer = content.encoding === 'base64' ? unbase64(content.text) : encoder.encode(content.text ?? '');
  const url = new URL(request.url);
  return {
    title: `${request.method} ${url.host}${url.pathname} ${response.status ?? ''}`.trim(),
    request: written(`${request.method} ${discreet(url)}`, request.headers, encoder.encode(request.postData?.text ?? '')),
    // A browser stores the decoded body but keeps the encoding headers.
    response: written(String(response.status || 200), response.headers, answer, ['content-encoding', 'transfer-encoding']),
  };
}

/** The URL without the secrets of its query and without a password. */
function discreet(address) {
  const url = new URL(address);
  const names = new Set(url.searchParams.keys());
  for (const name of names) if (SECRET.test(name) || SECRET_PARAMETER.test(name)) url.searchParams.set(name, 'hidden');
  url.username = url.password = '';
  return url.href;
}

function written(first, headers = [], body, without = []) {
  const lines = headers
    .filter(({name}) => !name.startsWith(':') && !without.includes(name.toLowerCase()))
    .map(({name, value}) => `${name.toLowerCase()}: ${SECRET.test(name) ? 'hidden' : value.replaceAll('\n', ', ')}`);
  const head = encoder.encode([first, ...lines].join('\n') + '\n\n');
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(head);
  bytes.set(body, head.length);
  return bytes;
}

function unbase64(text = '') {
  return Uint8Array.from(atob(text), character => character.charCodeAt(0));
}

/** Splits at the first empty line, with LF or CRLF line ends. */
function split(bytes) {
  let end = bytes.length;
  let start = bytes.length;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) {
    const next = bytes[at + 1] === 13 ? at + 2 : at + 1;
    if (bytes[next] !== 10) continue;
    [end, start] = [at, next + 1];
    break;
  }
  const [first = '', ...lines] = decoder.decode(bytes.subarray(0, end)).split(/\r?\n/);
  const headers = new Headers();
  // Without a first line, the whole text is the body.
  if (/^[A-Z]+ \S|^(HTTP\/[\d.]+ )?[1-5]\d\d( |$)/.test(first)) {
    for (const line of lines.filter(Boolean)) {
      const colon = line.indexOf(':', 1);
      if (colon < 0) throw new Error(`This line is not a header: ${line.slice(0, 80)}`);
      headers.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    }
  }
  return {first, headers, body: bytes.subarray(start)};
}

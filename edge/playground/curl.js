// Reads a curl command as people paste it: from documentation, a terminal, or a browser's "Copy as cURL", for POSIX shells or
// Windows. Nothing is run: variables and files stay what they are.

const START = /^(?:[A-Za-z_]\w*=\S*\s+)*(?:(?:time|sudo)\s+)*(?:(?:echo|printf|cat)\b[\s\S]*?\|\s*)?curl(?:\.exe)?\s/;

/** Prompts, and lines before the command. A number sign starts a comment, or is the prompt of root. */
const LEADS = [/^(?:\s*(?:#|(?:[$%>][ \t]+)?export[ \t]).*\n)*\s*(?:[$%>]\s+)?/, /^(?:\s*export[ \t].*\n)*\s*#\s+/];

/** Options with a value that does not change the request, or that this page cannot read. */
const SKIPPED = new Set(['-o', '--output', '-m', '--max-time', '--connect-timeout', '-x', '--proxy', '--retry', '--retry-delay', '--retry-max-time', '-w', '--write-out',
  '--cacert', '--capath', '-E', '--cert', '--cert-type', '--key', '--key-type', '--pass', '--resolve', '--connect-to', '-D', '--dump-header', '-c', '--cookie-jar', '-K', '--config',
  '--limit-rate', '-r', '--range', '-z', '--time-cond', '--interface', '--ciphers', '--tls-max', '--unix-socket', '--max-redirs', '-U', '--proxy-user', '--trace', '--trace-ascii',
  '--stderr', '--keepalive-time', '-y', '--speed-time', '-Y', '--speed-limit', '--noproxy', '--dns-servers', '--output-dir', '--expect100-timeout', '--aws-sigv4', '--create-file-mode',
  '--proto', '--proto-redir', '--proto-default', '-C', '--continue-at', '--request-target', '--tls13-ciphers', '--curves', '--doh-url', '--proxy-header', '--proxy-cacert', '--preproxy',
  '--netrc-file', '--pinnedpubkey', '--max-filesize', '--socks4', '--socks4a', '--socks5', '--socks5-hostname', '--crlfile', '--local-port', '--rate', '--trace-config', '--libcurl',
  '--hsts', '--alt-svc', '--etag-save', '--etag-compare', '--happy-eyeballs-timeout-ms']);
const SHORT = {X: '--request', H: '--header', d: '--data', F: '--form', G: '--get', I: '--head', u: '--user', A: '--user-agent', e: '--referer', b: '--cookie', T: '--upload-file'};
const VALUED = new Set(['--request', '--header', '--data', '--data-ascii', '--data-raw', '--data-binary', '--data-urlencode', '--json', '--form', '--form-string', '--url', '--user',
  '--oauth2-bearer', '--user-agent', '--referer', '--cookie', '--upload-file', '--url-query']);

/** The text from the command on, or undefined if there is none. */
const commandOf = text => LEADS.map(lead => text.replace(lead, '')).find(rest => START.test(rest));

export const isCurl = text => commandOf(text) !== undefined;

/** Returns method, URL, headers as [name, value], and the body as text. Throws an error that says what is missing. */
export function readCurl(whole) {
  const text = commandOf(whole) ?? whole;
  const {words, input} = isWindows(text) ? {words: windowsWords(text)} : shellWords(text);
  const from = words.findIndex(isName);
  const command = {headers: [], data: [], form: [], query: [], input};
  // The last word comes first, because words are taken from the end.
  const given = words.slice(from + 1).reverse();
  while (given.length && !['--next', '-:'].includes(given.at(-1))) option(given.pop(), given, command);
  return requestOf(command);
}

function option(word, given, command) {
  if (!/^-./.test(word)) return void (command.url ??= word);
  let [name, value] = [word];
  if (word.startsWith('--')) {
    const [, long, rest] = /^(--[\w-]+)=([\s\S]*)$/.exec(word) ?? [];
    if (VALUED.has(long)) [name, value] = [long, rest];
  } else {
    // The value of a short option may follow it in the same word, and options without a value may come before it.
    for (const [at, letter] of [...word].entries()) {
      if (!at) continue;
      name = SHORT[letter] ?? `-${letter}`;
      if (!VALUED.has(name) && !SKIPPED.has(name)) flag(name, command);
      else {
        value = word.slice(at + 1) || undefined;
        break;
      }
    }
  }
  if (SKIPPED.has(name)) return void (value ?? given.pop());
  if (!VALUED.has(name)) return flag(name, command);
  value ??= given.pop();
  if (value === undefined) throw new Error(`The curl command ends after ${word}, which needs a value.`);
  take(name, value, command);
}

function flag(name, command) {
  if (name === '--get') command.isQuery = true;
  if (name === '--head') command.method = 'HEAD';
}

function take(name, value, command) {
  const header = name => command.headers.push([name, value]);
  if (/^--(data|json)/.test(name) && /^(\$\(|`)/.test(value)) throw missing(value);
  switch (name) {
    case '--request': command.method = value; break;
    case '--url': command.url ??= value; break;
    case '--header': {
      const [, key, sign, rest] = /^([^:;]+)([:;])\s*([\s\S]*)$/.exec(value) ?? [];
      // "name:" removes a header that curl would add, and "name;" sends an empty one.
      if (key) command.headers.push([key.trim().toLowerCase(), sign === ':' && !rest.trim() ? undefined : rest.trim()]);
      break;
    }
    case '--data': case '--data-ascii': command.data.push(content(value, command).replace(/[\r\n]/g, value[0] === '@' ? '' : '$&')); break;
    case '--data-raw': command.data.push(value); break;
    case '--data-binary': command.data.push(content(value, command)); break;
    case '--data-urlencode': {
      const [, key, rest] = /^([^=]*)=([\s\S]*)$/.exec(value) ?? [];
      if (rest === undefined && value.includes('@')) throw missing(value.slice(value.indexOf('@')));
      const encoded = encodeURIComponent((rest ?? value).toWellFormed());
      command.data.push(key ? `${key}=${encoded}` : encoded);
      break;
    }
    case '--json': {
      command.isJson = true;
      command.data.push([content(value, command)]);
      break;
    }
    case '--form': case '--form-string': command.form.push(value); break;
    case '--url-query': command.query.push(value); break;
    case '--user': header('authorization'); break;
    case '--oauth2-bearer': header('authorization'); break;
    case '--user-agent': header('user-agent'); break;
    case '--referer': header('referer'); break;
    case '--cookie': header('cookie'); break;
    case '--upload-file': throw missing(value);
  }
}

/** The value of an option that can name a file. Standard input is known if the command contains it. */
function content(value, {input}) {
  if (value[0] !== '@') return value;
  if (value !== '@-' || input === undefined) throw missing(value);
  return input;
}

function missing(file) {
  const isOutput = /^[$`]/.test(file);
  const where = isOutput ? 'is the output of a command' : file === '@-' || file === '-' ? 'comes from standard input' : `is in the file ${file.replace(/^@/, '')}`;
  const name = isOutput ? 'the command' : file;
  return new Error(`The body ${where}, which this page cannot read. Paste its content in place of ${name}, between single quotes.`);
}

function requestOf({method, url, headers, data, form, query, isJson, isQuery}) {
  if (!url) throw new Error('The curl command has no URL.');
  const [variable] = /\$\{?\w+\}?/.exec(url.split('?')[0]) ?? [];
  if (variable) throw new Error(`The URL contains the variable ${variable}. Write its value in its place.`);
  let whole;
  try {
    whole = new URL(/^[a-z]+:\/\//i.test(url) ? url : `http://${url}`);
  } catch {
    throw new Error(`The curl command has no URL that can be read: ${url.slice(0, 80)}`);
  }
  // The parts of --json are joined as they are, others with an ampersand.
  let body = data.reduce((all, part) => (all === undefined ? [part].flat()[0] : all + (Array.isArray(part) ? part[0] : `&${part}`)), undefined);
  const parts = isQuery && body !== undefined ? [...query, body] : query;
  if (parts.length) whole.search = [whole.search, ...parts].filter(Boolean).join('&');
  if (isQuery) body = undefined;
  const added = [];
  const has = name => [...headers, ...added].some(([own]) => own === name);
  const add = (name, value) => has(name) || added.push([name, value]);
  if (isJson) add('content-type', 'application/json'), add('accept', 'application/json');
  if (form.length) {
    const boundary = '----------------------gaugeway';
    body = form.map(part => formPart(part, boundary)).join('') + `--${boundary}--\r\n`;
    add('content-type', `multipart/form-data; boundary=${boundary}`);
  } else if (body !== undefined) {
    add('content-type', 'application/x-www-form-urlencoded');
  }
  const sent = [...headers, ...added].filter(([, value]) => value !== undefined);
  return {method: (method ?? (body === undefined ? 'GET' : 'POST')).toUpperCase(), url: whole.href, headers: sent, body: body ?? ''};
}

/** A part of a form. A file's content is not known, so it is empty. */
function formPart(part, boundary) {
  const [, name, value = ''] = /^([^=]*)=([\s\S]*)$/.exec(part) ?? [null, part];
  const [, file] = /^[@<]([^;]*)/.exec(value) ?? [];
  const extra = file === undefined ? '' : `; filename="${file.split(/[\\/]/).pop()}"`;
  return `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${extra}\r\n\r\n${file === undefined ? value : ''}\r\n`;
}

// ---- POSIX shells

const ESCAPES = {n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', e: '\x1b', E: '\x1b', f: '\f', v: '\v'};

/** The words of the first command with curl, and its standard input if the text contains it. */
function shellWords(text) {
  let [at, word, input, heredoc] = [0, undefined, undefined, undefined];
  let words = [];
  let isNamed = false;
  let before;
  // The next word is a file that is not read, or standard input.
  let target;
  const end = () => {
    if (word === undefined) return;
    if (target === 'input') input = `${word}\n`;
    else if (!target) words.push(word);
    isNamed ||= !target && isName(word);
    target = word = undefined;
  };
  const add = more => (word = (word ?? '') + more);
  const rest = () => text.slice(at);
  const ends = quote => {
    throw new Error(`The curl command ends inside ${quote}. Paste all of it.`);
  };
  for (; at < text.length; at++) {
    const letter = text[at];
    if (letter === '\\') {
      const [line] = /^\\\r?\n/.exec(rest()) ?? [];
      if (line) at += line.length - 1;
      // Some pages add blanks behind the backslash of a continued line.
      else if (/^\\[ \t]+\r?\n/.test(rest())) at += /^\\[ \t]+\r?\n/.exec(rest())[0].length - 1;
      else add(text[++at] ?? '');
    } else if (letter === "'") {
      const close = text.indexOf("'", at + 1);
      if (close < 0) ends('single quotes');
      add(text.slice(at + 1, close));
      at = close;
    } else if (letter === '$' && text[at + 1] === "'") {
      const [all, inner] = /^\$'((?:[^'\\]|\\[\s\S])*)'/.exec(rest()) ?? ends("$'...'");
      add(inner.replace(/\\(?:x([\da-fA-F]{1,2})|u([\da-fA-F]{1,4})|U([\da-fA-F]{1,8})|([0-7]{1,3})|([\s\S]))/g, escape));
      at += all.length - 1;
    } else if (letter === '"') {
      const [all, inner] = /^"((?:[^"\\]|\\[\s\S])*)"/.exec(rest()) ?? ends('double quotes');
      add(inner.replace(/\\(?:\r?\n|([$`"\\]))/g, '$1'));
      at += all.length - 1;
    } else if (/\s/.test(letter)) {
      end();
      if (letter === '\n') {
        if (heredoc) {
          [input, at] = heredocBody(text, at + 1, heredoc);
          heredoc = undefined;
          at--;
        }
        target = undefined;
        if (!isNamed) continue;
        // Some pages lose the backslashes of continued lines.
        const [gap] = /^\s*(?=-)/.exec(text.slice(at + 1)) ?? [];
        if (gap === undefined) break;
        at += gap.length;
      }
    } else if (text.startsWith('<<<', at)) {
      end();
      target = 'input';
      at += 2;
    } else if (text.startsWith('<<', at)) {
      end();
      const [all, dash, quote, mark] = /^<<(-?)[ \t]*(['"\\]?)([\w.-]+)['"]?/.exec(rest()) ?? ends('<<');
      heredoc = {dash, quote, mark};
      at += all.length - 1;
    } else if (letter === '<' || letter === '>' || text.startsWith('&>', at)) {
      // The number of a redirected stream is no word of the command.
      if (/^\d+$/.test(word ?? '')) word = undefined;
      end();
      target = 'file';
      at += /^&?[<>]+[&|]?/.exec(rest())[0].length - 1;
    } else if (/[|;&]/.test(letter) || (letter === '#' && word === undefined)) {
      end();
      if (isNamed || letter === '#') {
        // A heredoc's text follows behind the line.
        const line = text.indexOf('\n', at);
        if (heredoc && line >= 0) [input] = heredocBody(text, line + 1, heredoc);
        break;
      }
      // echo '...' | curl
      if (letter === '|') before = words;
      words = [];
    } else {
      add(letter);
    }
  }
  end();
  if (before && input === undefined && /^(echo|printf)$/.test(before[0])) input = before.filter((one, place) => place && !/^-[neE]+$/.test(one) && one !== '%s').join(' ');
  return {words, input};
}

const isName = word => /(^|[\\/])curl(\.exe)?$/.test(word);

function escape(all, hex, four, eight, octal, letter) {
  if (letter !== undefined) return ESCAPES[letter] ?? letter;
  return String.fromCodePoint(Math.min(parseInt(hex ?? four ?? eight ?? octal, octal ? 8 : 16), 0x10ffff));
}

/** The lines up to the mark, and the position behind it. Without quotes around the mark, backslashes escape. */
function heredocBody(text, start, {dash, quote, mark}) {
  const lines = [];
  let at = start;
  while (at < text.length) {
    const stop = text.indexOf('\n', at);
    const line = text.slice(at, stop < 0 ? text.length : stop);
    at += line.length + 1;
    const own = (dash ? line.replace(/^\t+/, '') : line).replace(/\r$/, '');
    if (own === mark) break;
    lines.push(`${own}\n`);
  }
  const body = lines.join('');
  return [quote ? body : body.replace(/\\(?:\n|([$`\\]))/g, '$1'), Math.min(at, text.length)];
}

// ---- Windows

/** cmd.exe escapes with a caret, which POSIX shells do not know. */
const isWindows = text => /(^|\s)\^"|\s\^\r?\n/.test(text);

/** Removes the carets of cmd.exe, then splits as C programs on Windows do. */
function windowsWords(text) {
  let plain = '';
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '^' && !isQuoted) {
      const [line] = /^\^\r?\n/.exec(text.slice(at)) ?? [];
      // An escaped line end continues the line; a second one is a line end.
      if (line) {
        at += line.length;
        plain += /^\r?\n/.test(text.slice(at)) ? '\n' : text[at] === '^' ? '' : (text[at] ?? '');
        if (text[at] === '\r') at++;
        if (text[at] === '^') at--;
      } else {
        plain += text[++at] ?? '';
      }
      continue;
    }
    if (text[at] === '"') isQuoted = !isQuoted;
    plain += text[at];
  }
  const words = [];
  let word;
  isQuoted = false;
  for (let at = 0; at < plain.length; at++) {
    const [slashes] = /^\\*/.exec(plain.slice(at));
    if (slashes && plain[at + slashes.length] === '"') {
      word = (word ?? '') + '\\'.repeat(slashes.length >> 1);
      at += slashes.length;
      if (slashes.length % 2) word += '"';
      else isQuoted = !isQuoted;
    } else if (slashes) {
      word = (word ?? '') + slashes;
      at += slashes.length - 1;
    } else if (plain[at] === '"') {
      word ??= '';
      if (isQuoted && plain[at + 1] === '"') word += plain[++at];
      else isQuoted = !isQuoted;
    } else if (/\s/.test(plain[at]) && !isQuoted) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + plain[at];
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

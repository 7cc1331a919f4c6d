// Reads a curl command as people paste it: from documentation, a terminal, or a browser's "Copy as cURL", for POSIX shells or
// Windows. Nothing is run: variables and files stay what they are.

const START = /^\s*(?:[$#%>]\s+)?(?:[A-Za-z_]\w*=\S*\s+)*(?:(?:echo|printf|cat)\b[\s\S]*?\|\s*)?curl(?:\.exe)?\s/;

/** Options with a value that does not change the request, or that this page cannot read. */
const SKIPPED = new Set(['-o', '--output', '-m', '--max-time', '--connect-timeout', '-x', '--proxy', '--retry', '--retry-delay', '--retry-max-time', '-w', '--write-out',
  '--cacert', '--capath', '-E', '--cert', '--cert-type', '--key', '--key-type', '--pass', '--resolve', '--connect-to', '-D', '--dump-header', '-c', '--cookie-jar', '-K', '--config',
  '--limit-rate', '-r', '--range', '-z', '--time-cond', '--interface', '--ciphers', '--tls-max', '--unix-socket', '--max-redirs', '-U', '--proxy-user', '--trace', '--trace-ascii',
  '--stderr', '--keepalive-time', '-y', '--speed-time', '-Y', '--speed-limit', '--noproxy', '--dns-servers', '--output-dir', '--expect100-timeout', '--aws-sigv4', '--create-file-mode']);
const SHORT = {X: '--request', H: '--header', d: '--data', F: '--form', G: '--get', I: '--head', u: '--user', A: '--user-agent', e: '--referer', b: '--cookie', T: '--upload-file'};
const VALUED = new Set(['--request', '--header', '--data', '--data-ascii', '--data-raw', '--data-binary', '--data-urlencode', '--json', '--form', '--form-string', '--url', '--user',
  '--oauth2-bearer', '--user-agent', '--referer', '--cookie', '--upload-file', '--url-query']);

export const isCurl = text => START.test(text);

/** Returns method, URL, headers as [name, value], and the body as text. Throws an error that says what is missing. */
export function readCurl(text) {
  const {words, input} = isWindows(text) ? {words: windowsWords(text)} : shellWords(text);
  const from = words.findIndex(word => /(^|[\\/])curl(\.exe)?$/.test(word));
  const command = {headers: [], data: [], form: [], query: [], input};
  const given = words.slice(from + 1);
  while (given.length) option(given.shift(), given, command);
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
  if (SKIPPED.has(name)) return void (value ?? given.shift());
  if (!VALUED.has(name)) return flag(name, command);
  value ??= given.shift();
  if (value === undefined) throw new Error(`The curl command ends after ${word}, which needs a value.`);
  take(name, value, command);
}

function flag(name, command) {
  if (name === '--get') command.isQuery = true;
  if (name === '--head') command.method = 'HEAD';
}

function take(name, value, command) {
  const header = name => command.headers.push([name, value]);
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
      const [, key, rest] = /^([^=@]*)=([\s\S]*)$/.exec(value) ?? [];
      if (rest === undefined && value.includes('@')) throw missing(value.slice(value.indexOf('@')));
      command.data.push(key ? `${key}=${encodeURIComponent(rest)}` : encodeURIComponent(rest ?? value));
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
  const where = file === '@-' || file === '-' ? 'comes from standard input' : `is in the file ${file.replace(/^@/, '')}`;
  return new Error(`The body ${where}, which this page cannot read. Paste its content in place of ${file}, between single quotes.`);
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
  for (const part of [...query, ...(isQuery && body !== undefined ? [body] : [])]) whole.search += (whole.search ? '&' : '?') + part;
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
  let before;
  const end = () => {
    if (word !== undefined) words.push(word);
    word = undefined;
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
      add(inner.replace(/\\(?:x([\da-f]{1,2})|u([\da-f]{1,4})|U([\da-f]{1,8})|([0-7]{1,3})|([\s\S]))/gi, escape));
      at += all.length - 1;
    } else if (letter === '"') {
      const [all, inner] = /^"((?:[^"\\]|\\[\s\S])*)"/.exec(rest()) ?? ends('double quotes');
      add(inner.replace(/\\\r?\n/g, '').replace(/\\([$`"\\])/g, '$1'));
      at += all.length - 1;
    } else if (/\s/.test(letter)) {
      end();
      if (letter === '\n') {
        if (heredoc) {
          [input, at] = heredocBody(text, at + 1, heredoc);
          heredoc = undefined;
          at--;
        }
        if (words.some(isName) && !/^\s*-/.test(text.slice(at + 1))) break;
      }
    } else if (letter === '<' && text.startsWith('<<<', at)) {
      end();
      const inner = shellWords(`curl ${text.slice(at + 3).trimStart()}`).words;
      return {words: [...words, ...inner.slice(2)], input: `${inner[1] ?? ''}\n`};
    } else if (letter === '<' && text.startsWith('<<', at)) {
      end();
      const [all, dash, , mark] = /^<<(-?)\s*(['"]?)(\w+)\2/.exec(rest()) ?? ends('<<');
      heredoc = {dash, mark};
      at += all.length - 1;
    } else if (/[|;&<>]/.test(letter) || (letter === '#' && word === undefined)) {
      end();
      if (words.some(isName) || letter === '#') {
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

/** The lines up to the mark, and the position behind it. */
function heredocBody(text, start, {dash, mark}) {
  const lines = [];
  let at = start;
  for (const line of text.slice(start).split('\n')) {
    at += line.length + 1;
    const own = (dash ? line.replace(/^\t+/, '') : line).replace(/\r$/, '');
    if (own === mark) break;
    lines.push(own);
  }
  return [`${lines.join('\n')}\n`, Math.min(at, text.length)];
}

// ---- Windows

/** cmd.exe escapes with a caret, which POSIX shells do not know. */
const isWindows = text => /\^"|\s\^\r?\n/.test(text);

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

// Tests how the playground reads curl commands, without a browser: node --test curl.mjs, with GAUGEWAY_EDGE set. Bash splits the
// commands too, so the words cannot be wrong in the same way.
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {join} from 'node:path';
import {test} from 'node:test';
import {pathToFileURL} from 'node:url';

const load = file => import(pathToFileURL(join(process.env.GAUGEWAY_EDGE, 'playground', file)));
const {isCurl, readCurl} = await load('curl.js');
const {masked, parseCurl, parseHar} = await load('input.js');

const CHAT = 'https://api.openai.com/v1/chat/completions';
const JSON_BODY = '{"model": "gpt-4o"}';
const headersOf = text => Object.fromEntries(readCurl(text).headers);

/** Commands for a POSIX shell, and the bodies that they send. */
const SHELL = {
  documentation: [`curl ${CHAT} \\\n  -H "Content-Type: application/json" \\\n  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n  -d '{\n  "model": "gpt-4o"\n}'`, '{\n  "model": "gpt-4o"\n}'],
  'a browser': [`curl '${CHAT}' \\\n  -H 'accept: */*' \\\n  --data-raw $'{"model":"gpt-4o","user":"it\\'s \\u0021\\n"}' \\\n  --compressed`, `{"model":"gpt-4o","user":"it's !\n"}`],
  'double quotes': [`curl ${CHAT} -d "{\\"model\\": \\"gpt-4o\\", \\\\n \\$1}"`, '{"model": "gpt-4o", \\n $1}'],
  'joined words': [`curl -sSXPOST ${CHAT} -d'{"model":'"\\"gpt-4o\\""'}'`, '{"model":"gpt-4o"}'],
  'long options': [`curl --location '${CHAT}' \\\n--header 'content-type: application/json' \\\n--data '${JSON_BODY}'`, JSON_BODY],
  'json in parts': [`curl ${CHAT} --json '{"model":' --json '"gpt-4o"}'`, '{"model":"gpt-4o"}'],
  'fields in parts': [`curl ${CHAT} -d a=b --data-urlencode 'c=d e'`, 'a=b&c=d%20e'],
  'a pipe behind it': [`curl -s ${CHAT} -d '${JSON_BODY}' | cat`, JSON_BODY],
  'another command behind it': [`curl ${CHAT} -d '${JSON_BODY}'\ntrue`, JSON_BODY],
  'a redirection before the URL': [`curl -s 2>/dev/null ${CHAT} >/dev/null -d '${JSON_BODY}' 2>&1`, JSON_BODY],
  'lines before it': [`# It's a comment\nexport KEY=sk-secret\n\ntime curl ${CHAT} -d '${JSON_BODY}'`, JSON_BODY],
  'a backslash before a line end': [`curl ${CHAT} -d "a\\\\\nb\\\nc"`, 'a\\\nbc'],
  'a caret in quotes': [`curl ${CHAT} -d '{"pattern":"^"}'`, '{"pattern":"^"}'],
  'escapes of both lengths': [`curl ${CHAT} -d $'\\U0001F600\\u00e9\\x41'`, '😀éA'],
  'skipped options': [`curl -N -m 30 -o /dev/null --retry 3 --proto '=https' --tlsv1.2 -C - ${CHAT} -d '${JSON_BODY}' # a comment`, JSON_BODY],
};

/** The words with which bash would start curl. Variables keep their names. */
function bash(text) {
  const script = `curl() { printf '%s\\0' "$@" >&3; }; cat() { :; }\n${text}`;
  const env = {OPENAI_API_KEY: '$OPENAI_API_KEY', LC_ALL: 'C.UTF-8', PATH: process.env.PATH};
  const {output, status} = spawnSync('bash', ['-c', script], {env, stdio: ['ignore', 'ignore', 'pipe', 'pipe']});
  assert.equal(status, 0, String(output[2]));
  return String(output[3]).split('\0').slice(0, -1);
}

for (const [name, [text, body]] of Object.entries(SHELL)) {
  test(`the words are those of bash: ${name}`, () => {
    assert.ok(isCurl(text));
    const read = readCurl(text);
    assert.deepEqual([read.method, read.url, read.body], ['POST', CHAT, body]);
    const quoted = bash(text).map(word => `'${word.replaceAll("'", "'\\''")}'`);
    assert.deepEqual(read, readCurl(`curl ${quoted.join(' ')}`));
  });
}

/** Commands that bash would need more for than its words. */
const OTHERS = {
  'a heredoc': [`curl ${CHAT} -H 'content-type: application/json' -d @- <<'EOF'\n${JSON_BODY}\nEOF\n`, JSON_BODY],
  'a heredoc and a pipe': [`curl ${CHAT} --data-binary @- <<EOF | jq .\n${JSON_BODY}\nEOF`, `${JSON_BODY}\n`],
  'a heredoc with a hyphen in its mark': [`curl ${CHAT} -d @- <<'END-JSON'\n"\\$x"\nEND-JSON\n`, '"\\$x"'],
  'a heredoc with escapes': [`curl ${CHAT} -d @- <<EOF\n"\\$x \\\`y\\\` \\\\ \\n"\nEOF\n`, '"$x `y` \\ \\n"'],
  'options behind a string': [`curl -d @- <<< '${JSON_BODY}' ${CHAT} -s`, JSON_BODY],
  'the prompt of root': [`# curl ${CHAT} \\\n  -d '${JSON_BODY}'`, JSON_BODY],
  'sudo': [`sudo curl ${CHAT} -d '${JSON_BODY}'`, JSON_BODY],
  'the first of two requests': [`curl ${CHAT} -d '${JSON_BODY}' --next https://a.example -d x`, JSON_BODY],
  'a name with an at sign': [`curl ${CHAT} --data-urlencode 'a@b=c d'`, 'a@b=c%20d'],
  'half a character': [`curl ${CHAT} --data-urlencode $'\\ud83d'`, '%EF%BF%BD'],
  'a string as standard input': [`curl -d @- ${CHAT} <<< '${JSON_BODY}'`, JSON_BODY],
  'another command before it': [`echo '${JSON_BODY}' | curl -s ${CHAT} -d @-`, JSON_BODY],
  'a prompt': [`$ curl ${CHAT} -d '${JSON_BODY}'`, JSON_BODY],
  'a variable before it': [`KEY=x curl.exe ${CHAT} -d '${JSON_BODY}'`, JSON_BODY],
  'blanks behind the backslash': [`curl ${CHAT} \\ \n  -d '${JSON_BODY}'`, JSON_BODY],
  'no backslash': [`curl ${CHAT}\n  -d '${JSON_BODY}'`, JSON_BODY],
  'Windows, today': [`curl ^"${CHAT}^" ^\r\n  -H ^"accept: */*^" ^\r\n  --data-raw ^"^{^\\^"model^\\^": ^\\^"gpt-4o^\\^"^}^"`, JSON_BODY],
  'Windows, a line end in the body': [`curl ^"${CHAT}^" ^\n  --data-raw ^"^{^\n\n^\\^"model^\\^": 1^}^"`, '{\n"model": 1}'],
  'Windows, earlier': [`curl "${CHAT}" ^\n  -H "accept: */*" ^\n  --data-raw "{\\"model\\": \\"gpt-4o\\"}" ^\n  --compressed`, JSON_BODY],
};

for (const [name, [text, body]] of Object.entries(OTHERS)) {
  test(`read: ${name}`, () => {
    assert.ok(isCurl(text));
    const read = readCurl(text);
    assert.deepEqual([read.method, read.url, read.body], ['POST', CHAT, body]);
  });
}

test('headers are those that curl sends', () => {
  assert.deepEqual(headersOf(`curl ${CHAT} -d x`), {'content-type': 'application/x-www-form-urlencoded'});
  assert.deepEqual(headersOf(`curl ${CHAT} --json x`), {'content-type': 'application/json', accept: 'application/json'});
  assert.deepEqual(headersOf(`curl ${CHAT} --json x -H 'Content-Type: text/plain' -H 'Accept:' -H 'X-Empty;'`), {'content-type': 'text/plain', 'x-empty': ''});
  assert.deepEqual(headersOf(`curl ${CHAT} -A me -b 'a=b' -d x -H 'content-type:'`), {'user-agent': 'me', cookie: 'a=b'});
});

test('methods, queries and forms are those that curl sends', () => {
  const of = text => [readCurl(text).method, readCurl(text).url];
  assert.deepEqual(of('curl localhost:11434/api/tags'), ['GET', 'http://localhost:11434/api/tags']);
  assert.deepEqual(of('curl -G https://a.example/x?y=1 -d z=2'), ['GET', 'https://a.example/x?y=1&z=2']);
  assert.deepEqual(of('curl -X put https://a.example/ -d 1'), ['PUT', 'https://a.example/']);
  const form = readCurl('curl https://a.example/ -F model=whisper-1 -F file=@a/b.wav');
  assert.match(form.body, /name="model"\r\n\r\nwhisper-1\r\n[^]*name="file"; filename="b.wav"\r\n\r\n\r\n/);
  assert.match(Object.fromEntries(form.headers)['content-type'], /^multipart\/form-data; boundary=/);
});

test('what the page cannot know is an error that says what to do', () => {
  for (const [text, words] of [
    [`curl ${CHAT} -d @body.json`, /in the file body\.json.*Paste its content/],
    [`curl ${CHAT} -d @-`, /comes from standard input.*Paste its content/],
    [`curl ${CHAT} -d $(cat <<EOF\n${JSON_BODY}\nEOF\n)`, /the output of a command.*Paste its content/],
    [`curl ${CHAT} -d "$(cat body.json)"`, /the output of a command.*Paste its content/],
    ['curl $BASE/v1/messages -d 1', /the variable \$BASE/],
    [`curl ${CHAT} -d '{`, /ends inside single quotes/],
    [`curl ${CHAT} -d`, /ends after -d, which needs a value/],
    ['curl -s', /has no URL/],
  ]) {
    assert.throws(() => readCurl(text), words, text);
  }
  assert.equal(headersOf(`curl ${CHAT} -H "Authorization: Bearer $(token)"`).authorization, 'Bearer $(token)');
  for (const text of ['POST /v1/messages\ncurl x', '{"curl": 1}', 'curly https://a.example']) assert.ok(!isCurl(text), text);
});

test('a large text is read in a time that grows with its length', () => {
  const start = performance.now();
  for (const part of ['a ', '\n -s', ' <<<a', ' <<A\n', ' <<A\nA\n', ' 1>a', '\n', ' --url-query a=b', '# a\n']) readCurl(`curl http://x ${part.repeat(20_000)}`);
  for (const quote of ['', '^"x^" ']) assert.equal(readCurl(`curl ${quote}http://x ${'\\'.repeat(200_000)}`).method, 'GET');
  for (const text of ['a', 'token', '-u ', 'key="', ' ']) masked(text.repeat(200_000));
  for (const text of ['# echo |', 'export A=1\n', '# a\n', 'A=1 ']) assert.ok(!isCurl(text.repeat(20_000)));
  // It takes a second at most. With quadratic steps it takes minutes.
  assert.ok(performance.now() - start < 20_000);
});

test('secrets are hidden, also in a command that cannot be read', () => {
  const names = ['authorization', 'proxy-authorization', 'cf-aig-authorization', 'helicone-auth', 'x-api-key', 'apikey', 'ocp-apim-subscription-key', 'cookie', 'x-amz-security-token'];
  const headers = names.map(name => `-H '${name}: sk-secret'`).join(' ');
  const query = ['key', 'api_key', 'subscription-key', 'access_token', 'X-Amz-Signature', 'sig', 'code'].map(name => `${name}=sk-secret`).join('&');
  const read = new TextDecoder().decode(parseCurl(new TextEncoder().encode(`curl 'https://a.example/?${query}&api-version=1' ${headers} -H 'x-author: me' -u me:sk-secret`)));
  assert.ok(!read.includes('sk-secret') && read.includes('api-version=1') && read.includes('x-author: me'), read);
  for (const [text, safe] of [
    ['curl https://a.example -H "Authorization: Bearer sk-secret" -d @body.json', 'curl https://a.example -H "Authorization: hidden" -d @body.json'],
    [`curl $BASE_URL/v1?key=sk-secret ${headers} \\\n -d '{"max_tokens": 5}'`, `curl $BASE_URL/v1?key=hidden ${headers.replaceAll('sk-secret', 'hidden')} \\\n -d '{"max_tokens": 5}'`],
    [`curl -H 'cookie: a="sk-secret"; b=sk-secret' $BASE_URL`, `curl -H 'cookie: hidden' $BASE_URL`],
    ['curl -sSu "me:sk-secret" $BASE_URL --user me:sk-secret --user-agent me', 'curl -sSu hidden $BASE_URL --user hidden --user-agent me'],
    ['curl -ume:sk-secret --oauth2-bearer sk-secret $BASE_URL', 'curl -uhidden --oauth2-bearer hidden $BASE_URL'],
    ['curl ^"$BASE_URL^" -H ^"x-api-key: sk-secret^" ^\n -d x', 'curl ^"$BASE_URL^" -H ^"x-api-key: hidden^" ^\n -d x'],
    ['export API_KEY="sk-secret"\ncurl $BASE_URL', 'export API_KEY=hidden\ncurl $BASE_URL'],
  ]) {
    assert.throws(() => readCurl(text), text);
    assert.equal(masked(text), safe);
  }
});

test('entries of a HAR file that cannot be read are left out', () => {
  const request = {method: 'POST', url: CHAT, headers: []};
  const bad = [
    null, {}, {request, response: null}, {request: {...request, url: '/v1'}}, {request: {...request, headers: [{name: 'accept'}]}},
    {request, response: {status: 200, headers: [], content: {text: '%', encoding: 'base64'}}},
  ];
  assert.deepEqual(parseHar(JSON.stringify({log: {entries: bad}})), []);
  assert.deepEqual(parseHar(JSON.stringify({log: {entries: [...bad, {request}]}})).map(({title}) => title), ['POST api.openai.com/v1/chat/completions']);
});

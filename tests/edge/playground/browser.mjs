// Drives a headless Chromium over a pipe, and serves a folder while recording the requests.
import {spawn} from 'node:child_process';
import {mkdtemp, readFile, rm} from 'node:fs/promises';
import http from 'node:http';
import {tmpdir} from 'node:os';
import {extname, join, normalize} from 'node:path';

const TYPES = {'.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm'};
/** True once the playground has read the call. */
const READY = `document.getElementById('results')?.getAttribute('aria-busy') === 'false'`;

export async function serve(folder) {
  const asked = [];
  const server = http.createServer(async (request, response) => {
    asked.push(request.url);
    const path = join(folder, normalize(new URL(request.url, 'http://localhost').pathname));
    try {
      const body = await readFile(path);
      response.writeHead(200, {'content-type': TYPES[extname(path)] ?? 'application/octet-stream'}).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise(settle => server.listen(0, '127.0.0.1', settle));
  return {url: `http://127.0.0.1:${server.address().port}`, asked, close: () => server.closeAllConnections() ?? server.close()};
}

export class Browser {
  #child;
  #folder;
  #next = 0;
  #waiting = new Map();
  #heard = () => {};

  static async start(program) {
    const browser = new Browser();
    browser.#folder = await mkdtemp(join(tmpdir(), 'gaugeway-playground-'));
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];
    flags.push('--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--remote-debugging-pipe');
    const stdio = ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'];
    browser.#child = spawn(program, [...flags, `--user-data-dir=${browser.#folder}`, 'about:blank'], {stdio});
    let rest = '';
    browser.#child.stdio[4].setEncoding('utf8').on('data', data => {
      const messages = (rest + data).split('\0');
      rest = messages.pop();
      for (const message of messages) browser.#hear(JSON.parse(message));
    });
    return browser;
  }

  send(method, params = {}, sessionId) {
    const id = ++this.#next;
    this.#child.stdio[3].write(JSON.stringify({id, method, params, sessionId}) + '\0');
    return new Promise((settle, fail) => this.#waiting.set(id, {method, settle, fail}));
  }

  /**
   * Opens a new tab, in which `script` runs first, and waits until `ready` is true. `requests` and `complaints` are updated while it
   * is open.
   */
  async open(url, {width = 1280, height = 900, scheme = 'light', script = '', ready = READY} = {}) {
    const {targetId} = await this.send('Target.createTarget', {url: 'about:blank'});
    const {sessionId} = await this.send('Target.attachToTarget', {targetId, flatten: true});
    const page = new Page((method, params) => this.send(method, params, sessionId), () => this.send('Target.closeTarget', {targetId}));
    const before = this.#heard;
    this.#heard = message => (message.sessionId === sessionId ? page.hear(message) : before(message));
    for (const domain of ['Page', 'Runtime', 'Network', 'Log', 'Accessibility', 'DOM']) await page.send(`${domain}.enable`);
    await page.send('Emulation.setDeviceMetricsOverride', {width, height, deviceScaleFactor: 1, mobile: false});
    await page.send('Emulation.setEmulatedMedia', {features: [{name: 'prefers-color-scheme', value: scheme}]});
    await page.send('Page.addScriptToEvaluateOnNewDocument', {source: script});
    await page.send('Page.navigate', {url});
    await page.until(`document.readyState === 'complete' && (${ready})`);
    return page;
  }

  async close() {
    const gone = new Promise(settle => this.#child.once('exit', settle));
    this.send('Browser.close').catch(() => {});
    await Promise.race([gone, new Promise(settle => setTimeout(settle, 5000).unref())]);
    this.#child.kill('SIGKILL');
    await rm(this.#folder, {recursive: true, force: true, maxRetries: 5});
  }

  #hear(message) {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (!waiting) this.#heard(message);
    else if (message.error) waiting.fail(new Error(`${waiting.method}: ${message.error.message}`));
    else waiting.settle(message.result);
  }
}

class Page {
  requests = [];
  complaints = [];

  constructor(send, close) {
    this.send = send;
    this.close = close;
  }

  hear({method, params}) {
    if (method === 'Network.requestWillBeSent') this.requests.push(params.request.url);
    if (method === 'Runtime.exceptionThrown') this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === 'Log.entryAdded') this.complaints.push(params.entry.text);
  }

  /** Evaluates an expression and awaits its value. */
  async value(expression) {
    const {result, exceptionDetails} = await this.send('Runtime.evaluate', {expression, awaitPromise: true, returnByValue: true});
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async until(expression) {
    for (let left = 400; left; left--) {
      if (await this.value(`Boolean(${expression})`)) return;
      await new Promise(settle => setTimeout(settle, 50));
    }
    throw new Error(`this expression did not become true in time: ${expression}\n${await this.value('document.body.innerText')}\n${this.complaints.join('\n')}`);
  }

  /** Waits until the page has read the last edit. */
  settled() {
    return this.until(READY);
  }

  text(selector) {
    return this.value(`document.querySelector(${JSON.stringify(selector)})?.textContent`);
  }

  async type(id, text) {
    await this.value(`{const area = document.getElementById('${id}'); area.focus(); area.select()}`);
    await this.send('Input.insertText', {text});
    await this.settled();
  }

  async press(key, text) {
    const code = {Tab: 9, Enter: 13, Escape: 27, End: 35, Home: 36, ArrowRight: 39, ArrowDown: 40}[key];
    const event = {key, code: key, windowsVirtualKeyCode: code, ...(text && {text})};
    await this.send('Input.dispatchKeyEvent', {type: text ? 'keyDown' : 'rawKeyDown', ...event});
    await this.send('Input.dispatchKeyEvent', {type: 'keyUp', ...event});
  }

  async screenshot() {
    const {data} = await this.send('Page.captureScreenshot', {captureBeyondViewport: true});
    return Buffer.from(data, 'base64');
  }
}

// Node.js, Deno and Bun: the .wasm is a file in this folder.
import {readFileSync} from 'node:fs';
import {initSync} from './core.js';

initSync({module: readFileSync(new URL('./core_bg.wasm', import.meta.url))});

export {createObserver, observe, observeRequest, observeResponse} from './observe.js';

// Cloudflare Workers: the .wasm is a module that is compiled before the Worker starts.
import module from './core_bg.wasm';
import {initSync} from './core.js';

initSync({module});

export {createObserver, observe, observeRequest, observeResponse} from './observe.js';

// Browsers and bundlers: the .wasm is an asset that is compiled while it loads.
import init from './core.js';
import {platform} from './exchange.js';

await init({module_or_path: new URL('./core_bg.wasm', import.meta.url)});
// Browsers send streams over HTTP/2 only, or not at all.
platform.sendsStreams = false;

export {createObserver, observe, observeRequest, observeResponse} from './observe.js';

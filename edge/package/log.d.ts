import type {Details, Observation} from './index.js';

/** Returns an `onObservation` that writes one line of JSON; `write` is `console.log` by default. */
export function log(write?: (line: string) => void): (observation: Observation, details: Details) => void;

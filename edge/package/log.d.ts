import type {Details, Observation} from './index.js';

/** For `onObservation`: writes a line of JSON, `console.log` unless told. */
export function log(write?: (line: string) => void): (observation: Observation, details: Details) => void;

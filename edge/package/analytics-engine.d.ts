import type {Details, Observation} from './index.js';

export interface Dataset {
  writeDataPoint(point: {indexes?: string[]; blobs?: string[]; doubles?: number[]}): void;
}

/** What blob1, blob2, ... are. */
export const BLOBS: readonly string[];
/** What double1, double2, ... are; -1 is unknown. */
export const DOUBLES: readonly string[];

/** For `onObservation`: writes a data point. It is sampled by `index`, an attribute or `route`. */
export function analyticsEngine(
  dataset: Dataset,
  options?: {index?: string},
): (observation: Observation, details: Details) => void;

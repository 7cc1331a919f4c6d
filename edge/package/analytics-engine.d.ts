import type {Details, Observation} from './index.js';

export interface Dataset {
  writeDataPoint(point: {indexes?: string[]; blobs?: string[]; doubles?: number[]}): void;
}

/** Attributes of blob1, blob2, ... */
export const BLOBS: readonly string[];
/** Attributes of double1, double2, ...; -1 means unknown. */
export const DOUBLES: readonly string[];

/** Returns an `onObservation` that writes a data point. `index` is the sampling key: an attribute or `route`. */
export function analyticsEngine(
  dataset: Dataset,
  options?: {index?: string},
): (observation: Observation, details: Details) => void;

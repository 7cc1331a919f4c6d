import type {Details, Observation} from './index.js';

export interface Options {
  /** Address of the collector, without `/v1/traces`; the default is `http://127.0.0.1:4318`. */
  endpoint?: string;
  headers?: Record<string, string>;
  /** Resource attributes; the default of `service.name` is `gaugeway`. */
  resource?: Record<string, string | number | boolean>;
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** Returns an `onObservation` that sends a span, a child of the request's `traceparent`. */
export function spans(options?: Options): (observation: Observation, details: Details) => Promise<void>;

/** Returns an `onObservation` that sends the increments of the plugin's metrics by this exchange (delta temporality). */
export function metrics(options?: Options): (observation: Observation, details: Details) => Promise<void>;

/** Returns the span in OTLP's JSON form. */
export function span(observation: Observation, details: Details): Record<string, unknown>;

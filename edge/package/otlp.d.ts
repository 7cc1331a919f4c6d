import type {Details, Observation} from './index.js';

export interface Options {
  /** The collector, without `/v1/traces`; `http://127.0.0.1:4318` without it. */
  endpoint?: string;
  headers?: Record<string, string>;
  /** Resource attributes; `service.name` is `gaugeway` unless told. */
  resource?: Record<string, string | number | boolean>;
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** For `onObservation`: sends a span, a child of the request's `traceparent`. */
export function spans(options?: Options): (observation: Observation, details: Details) => Promise<void>;

/** For `onObservation`: sends the plugin's metrics under their names, what this exchange adds (delta temporality). */
export function metrics(options?: Options): (observation: Observation, details: Details) => Promise<void>;

/** The span, as OTLP's JSON has it. */
export function span(observation: Observation, details: Details): Record<string, unknown>;

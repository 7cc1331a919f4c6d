/** What an exchange came to. A member with nothing to say is not there: unknown is not zero. */
export interface Observation {
  /** kind of call */
  'gen_ai.operation.name': string;
  /** whose API, by host and path */
  'gen_ai.provider.name': string;
  /** model asked for */
  'gen_ai.request.model'?: string;
  /** a stream was asked for; only ever `true` */
  'gen_ai.request.stream'?: true;
  /** most tokens to generate */
  'gen_ai.request.max_tokens'?: number;
  /** sampling temperature */
  'gen_ai.request.temperature'?: number;
  /** nucleus sampling, 0 to 1 */
  'gen_ai.request.top_p'?: number;
  /** candidates per token */
  'gen_ai.request.top_k'?: number;
  /** seed for repeatable sampling */
  'gen_ai.request.seed'?: number;
  /** -2 to 2 */
  'gen_ai.request.frequency_penalty'?: number;
  /** -2 to 2 */
  'gen_ai.request.presence_penalty'?: number;
  /** strings that end the answer, JSON array */
  'gen_ai.request.stop_sequences'?: string[];
  /** answers asked for, where not 1 */
  'gen_ai.request.choice.count'?: number;
  /** `text`, `json`, `image` or `speech`, where asked for */
  'gen_ai.output.type'?: string;
  /** the conversation's own identifier */
  'gen_ai.conversation.id'?: string;
  /** messages in the request */
  'gaugeway.message_count'?: number;
  /** those by role, where tools are in play */
  'gaugeway.messages.system'?: number;
  /** those by role, where tools are in play */
  'gaugeway.messages.user'?: number;
  /** those by role, where tools are in play */
  'gaugeway.messages.assistant'?: number;
  /** those by role, where tools are in play */
  'gaugeway.messages.tool'?: number;
  /** tools the request offers */
  'gaugeway.tools.offered'?: number;
  /** SHA-256 of the last message's text, 16 hex digits */
  'gaugeway.prompt.hash'?: string;
  /** Unicode code points of the last message's text */
  'gaugeway.prompt.characters'?: number;
  /** hash of what system and user say first: the same in every call of a conversation */
  'gaugeway.conversation.hash'?: string;
  /** hash of all messages' texts, where `privacy.hash` asks */
  'gaugeway.prompt.full_hash'?: string;
  /** hash of what the system says, where `privacy.hash` asks */
  'gaugeway.system.hash'?: string;
  /** hash of the tools offered, where `privacy.hash` asks */
  'gaugeway.tools.hash'?: string;
  /** place of the call in an agent's run, from 1 */
  'gaugeway.agent.iteration'?: number;
  /** the run goes in circles: `retry`, `oscillation` or `drift` */
  'gaugeway.agent.loop'?: 'retry' | 'oscillation' | 'drift';
  /** model that answered */
  'gen_ai.response.model'?: string;
  /** the completion's identifier */
  'gen_ai.response.id'?: string;
  /** seconds to a stream's first bytes */
  'gen_ai.response.time_to_first_chunk'?: number;
  /** seconds to a stream's first generated token */
  'gaugeway.time_to_first_token'?: number;
  /** input tokens, cached ones included */
  'gen_ai.usage.input_tokens'?: number;
  /** output tokens, reasoning included */
  'gen_ai.usage.output_tokens'?: number;
  /** input tokens read from a cache */
  'gen_ai.usage.cache_read.input_tokens'?: number;
  /** input tokens written to a cache */
  'gen_ai.usage.cache_creation.input_tokens'?: number;
  /** the same, as `compat.cache_attribute` calls it */
  'gen_ai.usage.cache_write.input_tokens'?: number;
  /** output tokens spent on reasoning */
  'gen_ai.usage.reasoning.output_tokens'?: number;
  /** why each choice ended, the provider's words, JSON array */
  'gen_ai.response.finish_reasons'?: string[];
  /** client's tools the answer calls, JSON array */
  'gaugeway.tool_call.names'?: string[];
  /** SHA-256 of the answer's text, 16 hex digits */
  'gaugeway.response.hash'?: string;
  /** Unicode code points of the answer's text */
  'gaugeway.response.characters'?: number;
  /** the last message, redacted and cut, where `privacy.capture` asks */
  'gaugeway.prompt.text'?: string;
  /** the answer, redacted and cut, where `privacy.capture` asks */
  'gaugeway.response.text'?: string;
  /** cost in USD */
  'gaugeway.cost.usd'?: number;
  /** `priced`, `reported` (by the provider), `unpriced` (model not in the table) or `no_usage` */
  'gaugeway.cost.status'?: 'priced' | 'reported' | 'unpriced' | 'no_usage';
  /** how the exchange ended */
  'gaugeway.outcome': 'completed' | 'error' | 'truncated' | 'client_disconnect' | 'upstream_reset' | 'timeout' | 'local_reply';
  /** the error by its most specific name */
  'error.type'?: string;
  /** what could not be read: `json`, `number`, `framing`, `encoding` */
  'gaugeway.trouble'?: string;
}

/** One number for a counter, a histogram or a gauge of the plugin's. */
export interface Sample {
  name: string;
  kind: 'counter' | 'gauge' | 'histogram';
  value: number;
  labels: Record<string, string>;
}

/** What is known of an exchange besides. */
export interface Details {
  method: string;
  url: string;
  /** The request's. */
  headers: Headers;
  /** The response's; undefined where there is none. */
  status?: number;
  route?: string;
  /** Milliseconds since 1970, with a fraction. */
  start: number;
  end: number;
  /** The plugin's metrics. Ask before the callback, or the promise it gives, is over. */
  samples(): Sample[];
}

/** Told once an exchange, when it is over. A promise it gives is waited for with `waitUntil`. */
export type OnObservation = (observation: Observation, details: Details) => unknown;

/** Prices of a model, in USD per million tokens. */
export interface Price {
  input?: number;
  output?: number;
  cached_input?: number;
  cache_write?: number;
  cache_write_1h?: number;
  reasoning?: number;
  input_audio?: number;
  cached_input_audio?: number;
  output_audio?: number;
  input_image?: number;
  cached_input_image?: number;
  output_image?: number;
  /** Not per million tokens. */
  per_1000_requests?: number;
  per_1000_web_searches?: number;
}

/** What may be hashed. */
export type Hash = 'conversation' | 'last_message' | 'prompt' | 'response' | 'system' | 'tools';

/** The plugin's configuration; what does not fit is thrown at once, with its place. */
export interface Configuration {
  /** `abandoned_after` and `slots` have no effect here: nothing outlives a call. */
  agent?: {max_iterations?: number; abandoned_after?: number; slots?: number};
  apis?: {api: string; host?: string; path?: string; provider?: string}[];
  compat?: {cache_attribute?: 'cache_creation' | 'cache_write' | 'both'};
  conversation?: {header?: string};
  labels?: {headers?: Record<string, string>; max_series?: number; models?: string[]};
  prices?: Record<string, Price>;
  /** `capture`, `redact` and `sample` as in the plugin's README. */
  privacy?: {hash?: Hash[]; key?: string; capture?: 'off' | 'truncated' | 'sampled'; redact?: string[]; sample?: number};

  // The rest is checked, so that one configuration serves here and in Envoy, and has no effect here.

  /** Of no effect here: it takes a listener's requests. */
  feedback?: {path?: string; slots?: number};
  /** Of no effect here: `gaugeway/otlp` sends spans. */
  otlp?: {cluster?: string; path?: string; service?: string};
  /** Of no effect here: a place in Envoy. */
  role?: 'listener' | 'upstream';
  /** Of no effect here: no byte is changed. Set `stream_options` yourself. */
  stream_usage?: {inject?: boolean; max_request_bytes?: number};
}

export interface Options extends Configuration {
  onObservation?: OnObservation;
  /** What goes wrong in here, or in `onObservation`; without it `console.error`. It never reaches the traffic. */
  onError?: (error: unknown) => void;
  /** A label of the metrics. */
  route?: string;
  /** Keeps a Worker alive until `onObservation` is over: `promise => context.waitUntil(promise)`. */
  waitUntil?: (promise: Promise<unknown>) => void;
}

type Fetch = (input: any, init?: any) => Promise<Response>;

/** A `fetch` that observes LLM calls. All others pass untouched. */
export function observe<F extends Fetch>(fetch: F, options?: Options): F;

/** The same request, its body read on the way; for `observeResponse`. The one given is used up. */
export function observeRequest(request: Request, options?: Options): Request;

/**
 * The same response, its body read on the way. The request is what `observeRequest` gave; of another only the head is known,
 * and the body where it is text or bytes.
 */
export function observeResponse(request: Request | Head, response: Response, options?: Options): Response;

export function createObserver(options?: Options): Observer;

export interface Head {
  /** `POST` without it. */
  method?: string;
  url: string;
  headers?: HeadersInit;
  body?: string | ArrayBuffer | ArrayBufferView<ArrayBuffer> | URLSearchParams;
}

/** A configuration, ready to read exchanges piece by piece. */
export interface Observer {
  /** Undefined where it is not LLM traffic. */
  start(head: Head): Exchange | undefined;
}

/** How an exchange ended. */
export type End = 'whole' | 'client_disconnect' | 'upstream_reset' | 'timeout' | 'local_reply';

/** One exchange being read, for those who have bodies in other forms than fetch's. */
export interface Exchange {
  requestBody(chunk: string | ArrayBuffer | ArrayBufferView): void;
  requestEnd(): void;
  response(head: {status: number; headers?: HeadersInit}): void;
  responseBody(chunk: string | ArrayBuffer | ArrayBufferView): void;
  finish(end?: End): void;
  /** What is known by now; undefined once the exchange is over. */
  attributes(): Partial<Observation> | undefined;
  /** Whether it is LLM traffic, as far as it was read. */
  isRecognised(): boolean;
  /** The same body, read on its way. */
  readRequest(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array>;
  /** The same response, read on its way; aborted by the signal is the client's doing. */
  readResponse(response: Response, signal?: AbortSignal): Response;
  /** When `onObservation` is over: the observation, or undefined where it was not LLM traffic after all. */
  readonly done: Promise<Observation | undefined>;
}

/** One observed exchange. An unknown member is absent; absent does not mean zero. */
export interface Observation {
  /** kind of call, such as `chat` or `embeddings` */
  'gen_ai.operation.name': string;
  /** provider, derived from host and path */
  'gen_ai.provider.name': string;
  /** server that the request names: the host of its authority */
  'server.address'?: string;
  /** port of that server; if the authority has none, that of the scheme */
  'server.port'?: number;
  /** API, if it is served by the provider in the name: `chat_completions` or `responses` */
  'openai.api.type'?: string;
  /** requested model */
  'gen_ai.request.model'?: string;
  /** `true` if the request asks for a stream; otherwise not written */
  'gen_ai.request.stream'?: true;
  /** maximum number of tokens to generate */
  'gen_ai.request.max_tokens'?: number;
  /** sampling temperature */
  'gen_ai.request.temperature'?: number;
  /** nucleus sampling threshold, 0 to 1 */
  'gen_ai.request.top_p'?: number;
  /** number of candidates per token */
  'gen_ai.request.top_k'?: number;
  /** seed for repeatable sampling */
  'gen_ai.request.seed'?: number;
  /** frequency penalty, -2 to 2 */
  'gen_ai.request.frequency_penalty'?: number;
  /** presence penalty, -2 to 2 */
  'gen_ai.request.presence_penalty'?: number;
  /** strings that end the answer, as a JSON array */
  'gen_ai.request.stop_sequences'?: string[];
  /** number of requested answers; not written if it is 1 */
  'gen_ai.request.choice.count'?: number;
  /** level of reasoning that the request asks for, in the words of the API */
  'gen_ai.request.reasoning.level'?: string;
  /** service tier that the request asks of the provider in the name; not written if it is `auto` */
  'openai.request.service_tier'?: string;
  /** identifier of the response that the request continues */
  'gen_ai.request.previous_response.id'?: string;
  /** number of dimensions that the request wants embeddings to have */
  'gen_ai.embeddings.dimension.count'?: number;
  /** encodings that the request wants embeddings to have, as a JSON array */
  'gen_ai.request.encoding_formats'?: string[];
  /** requested output type: `text`, `json`, `image` or `speech` */
  'gen_ai.output.type'?: string;
  /** conversation identifier from `conversation.header`, the request or the response; else the client's session, see [Sessions and clients](#sessions-and-clients) */
  'gen_ai.conversation.id'?: string;
  /** `true` if the call replaces earlier parts of the conversation by a summary; otherwise not written */
  'gen_ai.conversation.compacted'?: boolean;
  /** client, from a fixed list */
  'gaugeway.client.name'?: string;
  /** version of the client */
  'gaugeway.client.version'?: string;
  /** number of this attempt at the same request, as the client counts; not written if it is 1 */
  'gaugeway.client.attempt'?: number;
  /** part of the client's work: `main`, `subagent`, `compaction`, `auxiliary` or `prewarm` */
  'gaugeway.request.kind'?: string;
  /** identifier of the client's sub-agent; not written for the main agent */
  'gaugeway.agent.id'?: string;
  /** identifier of what started the sub-agent: another sub-agent, or a session */
  'gaugeway.agent.parent_id'?: string;
  /** type of the client's sub-agent, in the client's words */
  'gaugeway.agent.name'?: string;
  /** number of messages in the request */
  'gaugeway.message_count'?: number;
  /** number of messages of this role; written if the request uses tools */
  'gaugeway.messages.system'?: number;
  /** number of messages of this role; written if the request uses tools */
  'gaugeway.messages.user'?: number;
  /** number of messages of this role; written if the request uses tools */
  'gaugeway.messages.assistant'?: number;
  /** number of messages of this role; written if the request uses tools */
  'gaugeway.messages.tool'?: number;
  /** number of tools that the request offers */
  'gaugeway.tools.offered'?: number;
  /** SHA-256 of the last message's text, first 16 hex digits */
  'gaugeway.prompt.hash'?: string;
  /** length of the last message's text in Unicode code points */
  'gaugeway.prompt.characters'?: number;
  /** hash of the system prompt and the first user message; the same in every call of a conversation */
  'gaugeway.conversation.hash'?: string;
  /** hash of all messages: texts, media, roles and boundaries; needs `prompt` in `privacy.hash` */
  'gaugeway.prompt.full_hash'?: string;
  /** hash of the system prompt; needs `system` in `privacy.hash` */
  'gaugeway.system.hash'?: string;
  /** hash of the offered tools; needs `tools` in `privacy.hash` */
  'gaugeway.tools.hash'?: string;
  /** number of this call in the agent's run, from 1 */
  'gaugeway.agent.iteration'?: number;
  /** the agent's run repeats itself: `retry`, `oscillation` or `drift` */
  'gaugeway.agent.loop'?: 'retry' | 'oscillation' | 'drift';
  /** model that answered */
  'gen_ai.response.model'?: string;
  /** identifier of the response */
  'gen_ai.response.id'?: string;
  /** service tier with which the provider in the name served the request */
  'openai.response.service_tier'?: string;
  /** fingerprint of the configuration with which the provider in the name answered */
  'openai.response.system_fingerprint'?: string;
  /** seconds from the request's headers to the first bytes of a streamed response */
  'gen_ai.response.time_to_first_chunk'?: number;
  /** seconds from the request's headers to the first generated token of a stream */
  'gaugeway.time_to_first_token'?: number;
  /** longest time in seconds between two chunks of a streamed response; chunks that arrive together count as one */
  'gaugeway.response.chunk_gap.max'?: number;
  /** number of times that a stream was silent for longer than `streams.stalled_after`; not written if there were none */
  'gaugeway.response.stalls'?: number;
  /** number of responses on a WebSocket that have ended; only in filter state, where the token counts and the cost are their sums */
  'gaugeway.websocket.responses'?: number;
  /** seconds from the request that created a fetched answer to the end of the call that fetched it, if both passed the gateway */
  'gaugeway.response.age'?: number;
  /** number of responses in a file with the results of a batch, without those that an earlier download had */
  'gaugeway.batch.responses'?: number;
  /** number of these responses that failed; not written if none did */
  'gaugeway.batch.failures'?: number;
  /** input tokens, including cached ones */
  'gen_ai.usage.input_tokens'?: number;
  /** output tokens, including reasoning */
  'gen_ai.usage.output_tokens'?: number;
  /** input tokens read from a cache */
  'gen_ai.usage.cache_read.input_tokens'?: number;
  /** input tokens written to a cache, by the name before v0.1.0 of the conventions; see `compat.cache_attribute` */
  'gen_ai.usage.cache_creation.input_tokens'?: number;
  /** input tokens written to a cache; see `compat.cache_attribute` */
  'gen_ai.usage.cache_write.input_tokens'?: number;
  /** output tokens spent on reasoning */
  'gen_ai.usage.reasoning.output_tokens'?: number;
  /** text in the input tokens, if it is reported */
  'gen_ai.usage.text.input_tokens'?: number;
  /** images in the input tokens */
  'gen_ai.usage.image.input_tokens'?: number;
  /** audio in the input tokens */
  'gen_ai.usage.audio.input_tokens'?: number;
  /** text in the input tokens read from a cache, if it is reported */
  'gen_ai.usage.text.cache_read.input_tokens'?: number;
  /** images in the input tokens read from a cache */
  'gen_ai.usage.image.cache_read.input_tokens'?: number;
  /** audio in the input tokens read from a cache */
  'gen_ai.usage.audio.cache_read.input_tokens'?: number;
  /** text in the output tokens, if it is reported */
  'gen_ai.usage.text.output_tokens'?: number;
  /** images in the output tokens */
  'gen_ai.usage.image.output_tokens'?: number;
  /** audio in the output tokens */
  'gen_ai.usage.audio.output_tokens'?: number;
  /** finish reason of each choice in the provider's words, as a JSON array */
  'gen_ai.response.finish_reasons'?: string[];
  /** names of the client's tools that the answer calls, as a JSON array */
  'gaugeway.tool_call.names'?: string[];
  /** SHA-256 of the answer's text, first 16 hex digits */
  'gaugeway.response.hash'?: string;
  /** length of the answer's text in Unicode code points */
  'gaugeway.response.characters'?: number;
  /** text of the last message, redacted and cut; needs `privacy.capture` */
  'gaugeway.prompt.text'?: string;
  /** text of the answer, redacted and cut; needs `privacy.capture` */
  'gaugeway.response.text'?: string;
  /** cost in US dollars */
  'gaugeway.cost.usd'?: number;
  /** the same as `gaugeway.cost.usd`, under a name that backends read */
  'gen_ai.usage.cost'?: number;
  /** cost of input that no cache had */
  'gaugeway.cost.input.usd'?: number;
  /** cost of input read from a cache */
  'gaugeway.cost.cache_read.usd'?: number;
  /** cost of input written to a cache */
  'gaugeway.cost.cache_write.usd'?: number;
  /** cost of output without reasoning */
  'gaugeway.cost.output.usd'?: number;
  /** cost of reasoning */
  'gaugeway.cost.reasoning.usd'?: number;
  /** cost of audio */
  'gaugeway.cost.audio.usd'?: number;
  /** cost of images and video */
  'gaugeway.cost.image.usd'?: number;
  /** cost of tools that the provider ran */
  'gaugeway.cost.tools.usd'?: number;
  /** cost of requests, search units and pages */
  'gaugeway.cost.requests.usd'?: number;
  /** what the input read from a cache would have cost more without the cache */
  'gaugeway.cost.cache_savings.usd'?: number;
  /** why the provider's prompt cache was not read, compared with the previous call of the conversation: `model`, `parameters`, `tools`, `system`, `message`, `expired`, `below_minimum` or `unknown` */
  'gaugeway.cache.break.cause'?: string;
  /** number of the first message that changed or is missing, from 1 in the order of the request, reasoning items not counted */
  'gaugeway.cache.break.message'?: number;
  /** estimate of the input tokens that the cache had after the previous call and that were not read from it */
  'gaugeway.cache.lost_tokens.estimate'?: number;
  /** estimate of what these tokens cost more than if they had been read from the cache */
  'gaugeway.cache.lost_usd.estimate'?: number;
  /** `priced` (from the price table), `partial` (the same, but a quantity had no rate), `reported` (by the provider), `reported_estimate` (likewise), `prepaid` (capacity paid for in advance), `unpriced` (no price for the model), `no_usage`, `deferred` (the answer comes later), or `hidden` (the call was cut; the cost is that of the known part) */
  'gaugeway.cost.status'?:
    | 'priced'
    | 'partial'
    | 'reported'
    | 'reported_estimate'
    | 'prepaid'
    | 'unpriced'
    | 'no_usage'
    | 'deferred'
    | 'hidden';
  /** what had no rate if the status is `partial` or `unpriced`, as a JSON array */
  'gaugeway.cost.unpriced'?: string[];
  /** models of attempts and auxiliary calls that the answer's own counts do not include, as a JSON array */
  'gaugeway.attempts.models'?: string[];
  /** web searches that the provider ran */
  'gaugeway.provider_tools.web_searches'?: number;
  /** pages that the provider retrieved */
  'gaugeway.provider_tools.web_fetches'?: number;
  /** file searches that the provider ran */
  'gaugeway.provider_tools.file_searches'?: number;
  /** maps searches that the provider ran */
  'gaugeway.provider_tools.maps_searches'?: number;
  /** times that the provider ran code */
  'gaugeway.provider_tools.code_runs'?: number;
  /** how the exchange ended; `interrupted` until then */
  'gaugeway.outcome': 'interrupted' | 'completed' | 'error' | 'truncated' | 'client_disconnect' | 'upstream_reset' | 'timeout' | 'local_reply';
  /** the provider's error code, else the HTTP status, else the outcome; of a local reply its reason */
  'error.type'?: string;
  /** what the plugin could not read: `json`, `number`, `framing`, `encoding`; separated by commas */
  'gaugeway.parse_error'?: string;
}

/** One sample of one of the plugin's counters, histograms or gauges. */
export interface Sample {
  name: string;
  kind: 'counter' | 'gauge' | 'histogram';
  value: number;
  labels: Record<string, string>;
}

/** Further data of an exchange. */
export interface Details {
  method: string;
  url: string;
  /** Headers of the request. */
  headers: Headers;
  /** Status of the response; undefined if there is no response. */
  status?: number;
  route?: string;
  /** Milliseconds since 1970, with a fraction. */
  start: number;
  end: number;
  /** The plugin's metrics. Call it before the callback returns, or before its promise settles. */
  samples(): Sample[];
}

/** Called once per exchange, at its end. If it returns a promise, `waitUntil` waits for it. */
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

/** The plugin's configuration. An invalid one throws at once, with the key's path. */
export interface Configuration {
  /** `abandoned_after`, `conversations` and `slots` have no effect here: nothing is kept between calls. */
  agent?: {
    max_iterations?: number;
    abandoned_after?: number;
    conversations?: number;
    output_tools?: string[];
    slots?: number;
    /** For each kind of loop the number of repetitions, from 2 to 100; 0: never. */
    loops?: {drift?: number; oscillation?: number; retry?: number};
  };
  apis?: {api: string; host?: string; path?: string; provider?: string}[];
  compat?: {cache_attribute?: 'cache_creation' | 'cache_write' | 'both'};
  conversation?: {header?: string};
  labels?: {headers?: Record<string, string>; max_series?: number; models?: string[]; route?: boolean};
  prices?: Record<string, Price>;
  /** `capture`, `redact` and `sample` work as in the plugin. */
  privacy?: {hash?: Hash[]; key?: string; capture?: 'off' | 'truncated' | 'sampled'; redact?: string[]; sample?: number};

  /** The version of OpenTelemetry's conventions that names the metrics `gen_ai.*`. */
  semconv?: '0.1' | '1.41';

  // The rest is checked but has no effect here, so that one configuration works here and in Envoy.

  /** No effect here: Envoy's listener receives feedback. */
  feedback?: {path?: string; secret?: string; slots?: number};
  /** No effect here, unless thousands of exchanges are open at once. */
  limits?: {stream_memory_bytes?: number};
  /** No effect here: `gaugeway/otlp` sends spans and metrics. */
  otlp?: {
    cluster?: string; errors?: boolean; exceptions?: boolean; idle_after?: number; instance?: string; interval?: number; logs_path?: string;
    metrics_path?: string; path?: string; sample?: number; service?: string; temporality?: 'cumulative' | 'delta';
  };
  /** No effect here: the attributes of Envoy's filter state. */
  attributes?: boolean | 'packed' | string[];
  /** No effect here: Envoy's statistics. */
  stats?: boolean;
  /** No effect here: a wrong setting throws. */
  if_invalid?: 'reject' | 'pass';
  /** No effect here: a position in Envoy. */
  role?: 'listener' | 'upstream';
  /** No effect here: this package changes no byte. Set `stream_options` yourself. */
  stream_usage?: {inject?: boolean; max_held_bytes?: number};
  /** No effect here: nothing looks for silent streams. `gaugeway.response.chunk_gap.max` shows them at their end. */
  streams?: {stalled_after?: number};
  /** No effect here: the package reads no WebSockets. */
  websocket?: {plain_frames?: boolean};
}

export interface Options extends Configuration {
  onObservation?: OnObservation;
  /** Receives errors of this package and of `onObservation`; the default is `console.error`. They never affect the traffic. */
  onError?: (error: unknown) => void;
  /** A label of the metrics. */
  route?: string;
  /** Keeps a Worker alive until `onObservation` has finished: `promise => context.waitUntil(promise)`. */
  waitUntil?: (promise: Promise<unknown>) => void;
}

type Fetch = (input: any, init?: any) => Promise<Response>;

/** Returns a `fetch` that observes LLM calls. Other calls pass unchanged. */
export function observe<F extends Fetch>(fetch: F, options?: Options): F;

/** Returns the same request, whose body is read as it is sent; pass it to `observeResponse`. Do not use the given request again. */
export function observeRequest(request: Request, options?: Options): Request;

/**
 * Returns the same response, whose body is read as it is consumed. `request` is the result of `observeRequest`. Of another
 * request only the head is known, and the body if it is text or bytes.
 */
export function observeResponse(request: Request | Head, response: Response, options?: Options): Response;

export function createObserver(options?: Options): Observer;

export interface Head {
  /** The default is `POST`. */
  method?: string;
  url: string;
  headers?: HeadersInit;
  body?: string | ArrayBuffer | ArrayBufferView<ArrayBuffer> | URLSearchParams;
}

/** Reads exchanges piece by piece with one configuration. */
export interface Observer {
  /** Returns undefined if it is not LLM traffic. */
  start(head: Head): Exchange | undefined;
}

/** How an exchange ended. */
export type End = 'whole' | 'client_disconnect' | 'upstream_reset' | 'timeout' | 'local_reply';

/** One exchange, for callers whose bodies do not come from fetch. */
export interface Exchange {
  requestBody(chunk: string | ArrayBuffer | ArrayBufferView): void;
  requestEnd(): void;
  response(head: {status: number; headers?: HeadersInit}): void;
  responseBody(chunk: string | ArrayBuffer | ArrayBufferView): void;
  finish(end?: End): void;
  /** Returns the attributes known so far, or undefined after the end of the exchange. */
  attributes(): Partial<Observation> | undefined;
  /** Returns whether the part that was read shows LLM traffic. */
  isRecognised(): boolean;
  /** Returns the same body, which is read as it is consumed. */
  readRequest(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array>;
  /** Returns the same response, which is read as it is consumed. An abort by the signal counts as a client's disconnect. */
  readResponse(response: Response, signal?: AbortSignal): Response;
  /** Settles after `onObservation`: the observation, or undefined if the exchange was not LLM traffic. */
  readonly done: Promise<Observation | undefined>;
}

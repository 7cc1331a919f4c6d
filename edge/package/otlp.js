// OpenTelemetry's OTLP over HTTP as JSON: a span and the plugin's metrics for each exchange, with one POST per signal.

/** Attributes of the type double, also if their value is a whole number. */
const DOUBLES = new Set([
  'gaugeway.cache.lost_usd.estimate',
  'gaugeway.cost.audio.usd',
  'gaugeway.cost.cache_read.usd',
  'gaugeway.cost.cache_savings.usd',
  'gaugeway.cost.cache_write.usd',
  'gaugeway.cost.image.usd',
  'gaugeway.cost.input.usd',
  'gaugeway.cost.output.usd',
  'gaugeway.cost.reasoning.usd',
  'gaugeway.cost.requests.usd',
  'gaugeway.cost.tools.usd',
  'gaugeway.cost.usd',
  'gaugeway.response.age',
  'gaugeway.response.chunk_gap.max',
  'gaugeway.time_to_first_token',
  'gen_ai.request.frequency_penalty',
  'gen_ai.request.presence_penalty',
  'gen_ai.request.temperature',
  'gen_ai.request.top_p',
  'gen_ai.response.time_to_first_chunk',
  'gen_ai.usage.cost',
]);

/** Upper bounds of the histograms' buckets, as in `envoy/envoy.yaml`. */
const SECONDS = doubled(10_000, 14);
const MINUTES = [...SECONDS, 163840000, 327680000, 600000000];
const TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864];
const BOUNDS = {
  gaugeway_agent_iterations: [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128],
  gaugeway_feedback_permille: [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000],
  gaugeway_response_characters: [16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304],
  gaugeway_stream_chunk_gap_max_microseconds: SECONDS,
  gaugeway_tool_duration_microseconds: MINUTES,
  gaugeway_tokens_per_kilocharacter: [50, 100, 150, 200, 250, 300, 350, 400, 500, 600, 800, 1000, 2000, 4000],
  gen_ai_client_embeddings_duration_microseconds: MINUTES,
  gen_ai_client_embeddings_operation_input_tokens: TOKENS,
  gen_ai_client_inference_duration_microseconds: MINUTES,
  gen_ai_client_inference_operation_input_tokens: TOKENS,
  gen_ai_client_inference_operation_output_tokens: TOKENS,
  gen_ai_client_inference_time_to_first_chunk_microseconds: SECONDS,
  gen_ai_client_operation_duration_microseconds: MINUTES,
  gen_ai_client_operation_time_to_first_chunk_microseconds: SECONDS,
  gen_ai_client_token_usage: TOKENS,
  gen_ai_server_time_per_output_token_microseconds: [
    10000, 25000, 50000, 75000, 100000, 150000, 200000, 300000, 400000, 500000, 750000, 1000000, 2500000,
  ],
  gen_ai_server_time_to_first_token_microseconds: [
    1000, 5000, 10000, 20000, 40000, 60000, 80000, 100000, 250000, 500000, 750000, 1000000, 2500000, 5000000, 7500000,
    10000000, 15000000, 20000000, 30000000, 45000000, 60000000,
  ],
};

const CLIENT = 3;
const DELTA = 1;
const ERROR = 2;

export function spans(options) {
  const send = sender('/v1/traces', options);
  return (observation, details) => send('resourceSpans', 'scopeSpans', 'spans', [span(observation, details)]);
}

export function metrics(options) {
  const send = sender('/v1/metrics', options);
  return (observation, details) => send('resourceMetrics', 'scopeMetrics', 'metrics', grouped(details));
}

export function span(observation, details) {
  const [, trace, parent] = /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-/.exec(details.headers.get('traceparent') ?? '') ?? [];
  const operation = observation['gen_ai.operation.name'];
  const model = observation['gen_ai.request.model'];
  const error = observation['error.type'];
  const more = {'server.address': new URL(details.url, globalThis.location?.href).hostname};
  if (details.status) more['http.response.status_code'] = details.status;
  return {
    traceId: trace ?? random(16),
    spanId: random(8),
    ...(parent && {parentSpanId: parent}),
    name: model ? `${operation} ${model}` : operation,
    kind: CLIENT,
    startTimeUnixNano: nanoseconds(details.start),
    endTimeUnixNano: nanoseconds(details.end),
    attributes: attributes({...observation, ...more}),
    ...(error && {status: {code: ERROR, message: error}}),
  };
}

function sender(path, {endpoint = 'http://127.0.0.1:4318', headers, resource, fetch = globalThis.fetch} = {}) {
  const url = endpoint.replace(/\/+$/, '') + path;
  const about = {attributes: attributes({'service.name': 'gaugeway', ...resource})};
  return async (all, scopes, each, items) => {
    const body = {[all]: [{resource: about, [scopes]: [{scope: {name: 'gaugeway'}, [each]: items}]}]};
    const response = await fetch(url, {
      method: 'POST',
      headers: {'content-type': 'application/json', ...headers},
      body: JSON.stringify(body),
    });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`gaugeway: ${url} answered ${response.status}`);
  };
}

/** Groups samples by metric, as OTLP requires. */
function grouped({samples, start, end}) {
  const metrics = new Map();
  for (const {name, kind, value, labels} of samples()) {
    if (!metrics.has(name)) metrics.set(name, {name, ...empty(kind)});
    const {sum, gauge, histogram} = metrics.get(name);
    const point = {
      attributes: attributes(labels),
      startTimeUnixNano: nanoseconds(start),
      timeUnixNano: nanoseconds(end),
    };
    if (histogram) {
      const bounds = BOUNDS[name] ?? [];
      const at = bounds.findIndex(bound => value <= bound);
      const counts = new Array(bounds.length + 1).fill('0');
      counts[at < 0 ? bounds.length : at] = '1';
      Object.assign(point, {count: '1', sum: value, min: value, max: value, bucketCounts: counts, explicitBounds: bounds});
    } else {
      point.asInt = String(value);
    }
    (sum ?? gauge ?? histogram).dataPoints.push(point);
  }
  return [...metrics.values()];
}

/** The increment by one exchange (delta temporality). An isolate at the edge does not live long enough to accumulate. */
function empty(kind) {
  if (kind === 'counter') return {sum: {aggregationTemporality: DELTA, isMonotonic: true, dataPoints: []}};
  if (kind === 'histogram') return {histogram: {aggregationTemporality: DELTA, dataPoints: []}};
  return {gauge: {dataPoints: []}};
}

function attributes(values) {
  return Object.entries(values).map(([key, value]) => ({key, value: typed(key, value)}));
}

function typed(key, value) {
  if (Array.isArray(value)) return {arrayValue: {values: value.map(item => typed(key, item))}};
  if (typeof value === 'boolean') return {boolValue: value};
  if (typeof value !== 'number') return {stringValue: String(value)};
  return DOUBLES.has(key) || !Number.isInteger(value) ? {doubleValue: value} : {intValue: String(value)};
}

function nanoseconds(milliseconds) {
  return `${Math.round(milliseconds * 1000)}000`;
}

function random(bytes) {
  const drawn = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(drawn, byte => byte.toString(16).padStart(2, '0')).join('');
}

function doubled(first, count) {
  return Array.from({length: count}, (_, at) => first * 2 ** at);
}

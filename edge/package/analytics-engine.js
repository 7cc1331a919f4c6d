// Cloudflare's Workers Analytics Engine: columns have no names there, so these lists say which is which.

/** blob1, blob2, ... */
export const BLOBS = [
  'gen_ai.operation.name',
  'gen_ai.provider.name',
  'gen_ai.request.model',
  'gen_ai.response.model',
  'gaugeway.outcome',
  'error.type',
  'gaugeway.cost.status',
  'gen_ai.response.finish_reasons',
  'gaugeway.tool_call.names',
  'gaugeway.agent.loop',
  'gaugeway.trouble',
  'route',
];

/** double1, double2, ...; unknown is -1, for there is no empty column and 0 is a number of tokens. */
export const DOUBLES = [
  'gen_ai.usage.input_tokens',
  'gen_ai.usage.output_tokens',
  'gen_ai.usage.cache_read.input_tokens',
  'gen_ai.usage.cache_creation.input_tokens',
  'gen_ai.usage.reasoning.output_tokens',
  'gaugeway.cost.usd',
  'gen_ai.response.time_to_first_chunk',
  'gaugeway.time_to_first_token',
  'gaugeway.agent.iteration',
  'gaugeway.response.characters',
  'duration',
  'status',
];

/** Bytes that the index and a blob may have. */
const INDEX = 96;
const BLOB = 1024;

export function analyticsEngine(dataset, {index = 'gen_ai.response.model'} = {}) {
  return (observation, {start, end, status, route}) => {
    const all = {...observation, route, status, duration: (end - start) / 1000};
    dataset.writeDataPoint({
      indexes: [clipped(all[index], INDEX)],
      blobs: BLOBS.map(name => clipped(all[name], BLOB)),
      doubles: DOUBLES.map(name => all[name] ?? -1),
    });
  };
}

function clipped(value, bytes) {
  const text = String(value ?? '');
  const room = new Uint8Array(bytes);
  return text.slice(0, new TextEncoder().encodeInto(text, room).read);
}

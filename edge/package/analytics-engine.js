// Cloudflare's Workers Analytics Engine has columns without names. These lists define the columns.

/** Attributes of blob1, blob2, ... */
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
  'gaugeway.parse_error',
  'route',
];

/** Attributes of double1, double2, ... Unknown values are -1, because columns cannot be empty and 0 is a valid count. */
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

/** Size limits of the index and of a blob in bytes. */
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

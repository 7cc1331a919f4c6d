// Reads a stream of an answer's chunks to its end, through a plain stream or through the observer.
export const chunk = new TextEncoder().encode(
  'data: {"id":"c","model":"gpt-4o","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}\n\n',
);

export function work({observe}) {
  let left = 0;
  const answer = () => {
    const pull = controller => (left-- ? controller.enqueue(chunk.slice()) : controller.close());
    return new Response(new ReadableStream({pull}, {highWaterMark: 0}), {headers: {'content-type': 'text/event-stream'}});
  };
  const observed = observe(async () => answer());
  const ways = {
    plain() {
      const reader = answer().body.getReader();
      const pull = async controller => {
        const {done, value} = await reader.read();
        done ? controller.close() : controller.enqueue(value);
      };
      return new Response(new ReadableStream({pull}, {highWaterMark: 0}));
    },
    observed: () => observed('https://api.openai.com/v1/chat/completions', {method: 'POST', body: '{"model":"gpt-4o"}'}),
  };
  return async (way, chunks) => {
    left = chunks;
    const reader = (await ways[way]()).body.getReader();
    while (!(await reader.read()).done);
  };
}

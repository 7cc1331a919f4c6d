// A stream as it was, watched on its way: a chunk is taken when the reader asks for one, so nothing is held back and nothing kept.
//
// A TransformStream would do the same, but runtimes differ in whether its transformer hears of a cancelled reader and of a
// broken source, and those are endings to be told apart.

let readsBytes;

export function watched(source, {bytes = false, chunk, end, failed, cancelled}) {
  const reader = source.getReader();
  const underlying = {
    async pull(controller) {
      let next;
      // A byte stream takes no empty chunk, and asks again only when it got one.
      do {
        try {
          next = await reader.read();
        } catch (error) {
          failed(error);
          throw error;
        }
      } while (!next.done && next.value.byteLength === 0);
      if (next.done) {
        end();
        controller.close();
        controller.byobRequest?.respond(0);
      } else {
        chunk(next.value);
        controller.enqueue(next.value);
      }
    },
    cancel(why) {
      cancelled(why);
      return reader.cancel(why);
    },
  };
  if (bytes) {
    readsBytes ??= canReadBytes();
    if (readsBytes) underlying.type = 'bytes';
  }
  return new ReadableStream(underlying, {highWaterMark: 0});
}

function canReadBytes() {
  try {
    new ReadableStream({type: 'bytes'});
    return true;
  } catch {
    return false;
  }
}

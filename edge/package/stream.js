// Passes a stream on unchanged and observes it. A chunk is read when the reader asks for one, so nothing is delayed or
// buffered.
//
// A TransformStream is not used, because not every runtime tells its transformer about a cancelled reader or a failed
// source, and these are different outcomes.

let readsBytes;

export function watched(source, {bytes = false, chunk, end, failed, cancelled}) {
  const reader = source.getReader();
  const underlying = {
    async pull(controller) {
      let next;
      // A byte stream accepts no empty chunk, and calls pull again only after a chunk.
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

"""Many WebSockets with permessage-deflate at a time: `crowd_client.py ADDRESS NUMBER`. Prints the tokens of each response."""

import asyncio
import json
import sys

from websockets.asyncio.client import connect


async def main(address, number):
    sockets = [await connect(f"ws://{address}/v1/responses") for _ in range(int(number))]
    for socket in sockets:
        await socket.send(json.dumps({"type": "response.create", "model": "gpt-5.5", "input": "Is it windy?"}))
        event = {}
        while event.get("type") != "response.completed":
            event = json.loads(await socket.recv())
        print("tokens", event["response"]["usage"]["input_tokens"], event["response"]["usage"]["output_tokens"])
    await asyncio.gather(*(socket.close() for socket in sockets))


asyncio.run(main(*sys.argv[1:]))

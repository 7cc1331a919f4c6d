"""A client that is gone in the middle of a response: `leaving_client.py ADDRESS`. Prints the number of deltas that it read."""

import asyncio
import json
import sys

from websockets.asyncio.client import connect


async def main(address):
    async with connect(f"ws://{address}/v1/responses") as socket:
        message = {"type": "response.create", "model": "gpt-5.5", "input": "long: Is it windy?"}
        await socket.send(json.dumps(message))
        deltas = 0
        while deltas < 20:
            deltas += json.loads(await socket.recv())["type"] == "response.output_text.delta"
        socket.transport.abort()
        print("deltas", deltas)


asyncio.run(main(sys.argv[1]))

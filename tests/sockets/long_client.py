"""Long requests in one message each: `long_client.py ADDRESS`. Prints the tokens of each response."""

import asyncio
import json
import random
import sys

from websockets.asyncio.client import connect


async def main(address):
    dice = random.Random(7)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 9))) for _ in range(4000)]
    # One conversation is prose, the other one repeats the same file.
    prose = " ".join(dice.choices(words, k=900_000))
    files = " ".join(dice.choices(words, k=3000)) * 250
    async with connect(f"ws://{address}/v1/responses", max_size=None) as socket:
        for text in [prose, files]:
            items = [{"role": "user", "content": text}]
            await socket.send(json.dumps({"type": "response.create", "model": "gpt-5.5", "input": items}))
            event = {}
            while event.get("type") != "response.completed":
                event = json.loads(await socket.recv())
            print("tokens", event["response"]["usage"]["input_tokens"], event["response"]["usage"]["output_tokens"])


asyncio.run(main(sys.argv[1]))

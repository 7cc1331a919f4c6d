"""PyPI websockets: `raw_client.py ADDRESS [none | WINDOW_BITS CONTEXT]`. Prints the tokens of each response."""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

TOOLS = [{"type": "function", "name": "exec_command", "parameters": {"type": "object", "properties": {}}}]


def offer(bits, context):
    forgets = context == "forgets"
    return ClientPerMessageDeflateFactory(
        server_max_window_bits=int(bits), client_max_window_bits=int(bits),
        server_no_context_takeover=forgets, client_no_context_takeover=forgets,
        compress_settings={"memLevel": 9},
    )


async def main(address, *compression):
    extensions = None if compression == ("none",) else [offer(*compression)]
    async with connect(f"ws://{address}/v1/responses", compression=None, extensions=extensions) as socket:
        assert len(socket.protocol.extensions) == len(extensions or []), socket.protocol.extensions

        async def create(text, **more):
            message = {"type": "response.create", "model": "gpt-5.5", "input": text, "tools": TOOLS, **more}
            await socket.send(json.dumps(message))

        async def until(responses):
            while responses:
                event = json.loads(await socket.recv())
                if event["type"] == "response.completed":
                    usage = event["response"]["usage"]
                    print("tokens", usage["input_tokens"], usage["output_tokens"], flush=True)
                responses -= event["type"] in ("response.completed", "error")

        await create("Prepare.", generate=False)
        await until(1)
        # Two responses at a time.
        await create("long: Is it windy?", stream_id="a")
        await create("Is it cold?", stream_id="b", model="gpt-5.1")
        await until(2)
        await socket.ping()
        await create("Use the tool.")
        await until(1)
        await create("fail")
        await until(1)
        # A text that is sent in fragments.
        message = json.dumps({"type": "response.create", "model": "gpt-5.5", "input": "Wind? " * 4000})
        await socket.send(message[at : at + 1000] for at in range(0, len(message), 1000))
        await until(1)


asyncio.run(main(*sys.argv[1:]))

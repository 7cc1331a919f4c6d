"""The scripted model over WebSockets: each message that creates a response becomes an HTTP request to the model, and each event of its answer a
message.

relay.py PORT MODEL. MODEL is the address of the model. A client sends only what is new since its previous response.
"""

import asyncio
import json
import sys

import httpx
from websockets.asyncio.server import serve

PORT, MODEL = sys.argv[1:]
# The messages up to the end of each response, by its identifier.
histories = {}


async def respond(socket, model, message):
    history = histories.get(message.pop("previous_response_id", None), []) + message["input"]
    if message.get("generate") is False:
        # The client prepares the next request.
        response = {"id": f"resp_prepared_{len(histories)}", "object": "response", "model": message["model"], "output": []}
        response["usage"] = {"input_tokens": 10, "output_tokens": 0, "total_tokens": 10}
        histories[response["id"]] = history
        for state in ("in_progress", "completed"):
            kind = "created" if state == "in_progress" else state
            await socket.send(json.dumps({"type": f"response.{kind}", "response": response | {"status": state}}))
        return
    async with model.stream("POST", f"http://{MODEL}/v1/responses", json=message | {"input": history}) as answer:
        async for line in answer.aiter_lines():
            if not line.startswith("data: "):
                continue
            event = json.loads(line[6:])
            if event["type"] == "response.completed":
                histories[event["response"]["id"]] = history + event["response"]["output"]
            await socket.send(line[6:])


async def main():
    def check(connection, request):
        return connection.respond(200, "") if request.path == "/healthy" else None

    async with httpx.AsyncClient(timeout=60, trust_env=False) as model:

        async def relay(socket):
            async for message in socket:
                await respond(socket, model, json.loads(message))

        async with serve(relay, "127.0.0.1", int(PORT), process_request=check, max_size=None) as server:
            await server.wait_closed()


asyncio.run(main())

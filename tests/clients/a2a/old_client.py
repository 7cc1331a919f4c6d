"""A client of A2A 0.3 from the time of that version, which names no version in its requests: old_client.py URL TRANSPORT.

Prints its operations as client.py does.
"""

import asyncio
import json
import sys

import httpx
from a2a.client import ClientConfig, ClientFactory, create_text_message_object
from a2a.client.errors import A2AClientError
from a2a.types import AgentCapabilities, AgentCard, Message, TaskIdParams, TaskQueryParams, TransportProtocol


def tell(method, task=None, error=None, left=False):
    state = task and task.status.state.value.replace("-", "_")
    print(json.dumps({"method": method, "error": error, "task": task and task.id, "state": state, "left": left}))
    return task


class Caller:
    """The SDK's clients, which tell what they do and return the task that they saw."""

    def __init__(self, url, transport, http):
        protocol = {"jsonrpc": TransportProtocol.jsonrpc, "rest": TransportProtocol.http_json}[transport]
        both = {"default_input_modes": ["text/plain"], "default_output_modes": ["text/plain"], "skills": []}
        can = AgentCapabilities(streaming=True)
        card = AgentCard(name="One", description="One", version="1", url=url, preferred_transport=protocol, capabilities=can, **both)
        ways = {"send": {"streaming": False}, "stream": {}, "poll": {"streaming": False, "polling": True}}
        self.clients = {
            name: ClientFactory(ClientConfig(httpx_client=http, supported_transports=[protocol], **way)).create(card) for name, way in ways.items()
        }
        self.other = self.clients["stream"]

    async def send(self, how, text, before=None, leave=False):
        """Sends a message, the next one of a task if it is given. With `leave` it leaves at the first artifact."""
        message = create_text_message_object(content=text)
        if before is not None:
            message.task_id, message.context_id = before.id, before.context_id
        method = "SendStreamingMessage" if how == "stream" else "SendMessage"
        return await self.follow(method, self.clients[how].send_message(message), leave)

    async def follow(self, method, events, leave=False):
        task, left = None, False
        async for event in events:
            if not isinstance(event, Message):
                task = event[0]
            if leave and task.artifacts:
                left = True
                break
        await events.aclose()
        return tell(method, task, left=left)

    async def subscribe(self, task):
        return await self.follow("SubscribeToTask", self.other.resubscribe(TaskIdParams(id=task.id)))

    async def get(self, task):
        return tell("GetTask", await self.other.get_task(TaskQueryParams(id=task.id)))

    async def cancel(self, task):
        return tell("CancelTask", await self.other.cancel_task(TaskIdParams(id=task.id)))

    async def fails(self, method, call):
        try:
            await call
        except A2AClientError as error:
            return tell(method, error=type(error).__name__)
        raise AssertionError(f"the server did {method}")


def expect(task, state):
    assert (task and task.status.state.value) == state, task


async def tasks(caller, how):
    """Tasks of each kind, which the client sends in this way."""
    for text, state in [("message", None), ("task", "completed"), ("fail", "failed"), ("reject", "rejected")]:
        for _ in range(2):
            expect(await caller.send(how, text), state)
    task = await caller.send(how, "ask")
    expect(task, "input-required")
    expect(await caller.send(how, "the other", before=task), "completed")


async def main():
    url, transport = sys.argv[1:]
    async with httpx.AsyncClient(timeout=60) as http:
        caller = Caller(url, transport, http)
        for how in ("send", "stream"):
            await tasks(caller, how)
        for _ in range(2):
            task = await caller.send("poll", "task")
            while task.status.state.value != "completed":
                await asyncio.sleep(0.05)
                task = await caller.get(task)
            await caller.fails("CancelTask", caller.other.cancel_task(TaskIdParams(id=task.id)))
            expect(await caller.cancel(await caller.send("poll", "long")), "canceled")
            expect(await caller.subscribe(await caller.send("stream", "resume", leave=True)), "completed")
            await caller.fails("GetTask", caller.other.get_task(TaskQueryParams(id="none")))


asyncio.run(main())

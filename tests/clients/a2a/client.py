"""A client of A2A: client.py URL TRANSPORT VERSION. TRANSPORT is `jsonrpc` or `rest`, and VERSION is `1.0` or `0.3`.

Prints its operations, one JSON object a line: method, failure, task, the last state that it saw, and whether it left before the end.
"""

import asyncio
import json
import sys
from urllib.parse import urlsplit

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.helpers import new_text_message
from a2a.types import (
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    Role,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import A2AError

TERMINAL = ("completed", "failed", "rejected", "canceled")


def state_of(status):
    return TaskState.Name(status.state).removeprefix("TASK_STATE_").lower()


def tell(method, task=None, state=None, error=None, left=False):
    print(json.dumps({"method": method, "error": error, "task": task, "state": state, "left": left}))


class Seen:
    """What a client knows from the events of a task."""

    def __init__(self):
        self.task = self.context = self.state = self.message = None

    def add(self, event):
        kind = event.WhichOneof("payload")
        one = getattr(event, kind)
        if kind == "message":
            self.message = one
            return kind
        self.task, self.context = one.id if kind == "task" else one.task_id, one.context_id
        if kind != "artifact_update":
            self.state = state_of(one.status)
        return kind


class Caller:
    """The SDK's clients, which tell what they do."""

    def __init__(self, card, http):
        options = {"supported_protocol_bindings": [card.supported_interfaces[0].protocol_binding], "httpx_client": http}
        ways = {"send": {"streaming": False}, "stream": {}, "poll": {"streaming": False, "polling": True}}
        self.clients = {name: ClientFactory(ClientConfig(**way, **options)).create(card) for name, way in ways.items()}
        self.other = self.clients["stream"]

    async def send(self, how, text, seen=None, leave=False):
        """Sends a message, the next one of a task if it is given. With `leave` it leaves at the first artifact."""
        told = seen or Seen()
        message = new_text_message(text, task_id=told.task, context_id=told.context, role=Role.ROLE_USER)
        method = "SendStreamingMessage" if how == "stream" else "SendMessage"
        events = self.clients[how].send_message(SendMessageRequest(message=message))
        await self.follow(method, events, told, leave)
        return told

    async def follow(self, method, events, seen, leave=False):
        left = False
        async for event in events:
            if seen.add(event) == "artifact_update" and leave:
                left = True
                break
        await events.aclose()
        tell(method, seen.task, seen.state, left=left)

    async def subscribe(self, seen):
        await self.follow("SubscribeToTask", self.other.subscribe(SubscribeToTaskRequest(id=seen.task)), seen)

    async def get(self, seen):
        task = await self.other.get_task(GetTaskRequest(id=seen.task))
        seen.state = state_of(task.status)
        tell("GetTask", task.id, seen.state)

    async def cancel(self, seen):
        task = await self.other.cancel_task(CancelTaskRequest(id=seen.task))
        seen.state = state_of(task.status)
        tell("CancelTask", task.id, seen.state)

    async def fails(self, method, call):
        try:
            await call
        except A2AError as error:
            return tell(method, error=type(error).__name__)
        raise AssertionError(f"the server did {method}")


async def tasks(caller, how):
    """Tasks of each kind, which the client sends in this way."""
    for text, states in [("message", [None]), ("task", ["completed"]), ("fail", ["failed"]), ("reject", ["rejected"])]:
        for _ in range(3):
            seen = await caller.send(how, text)
            assert seen.state in states and (seen.message is not None) == (text == "message"), (text, vars(seen))
    await asyncio.gather(*(caller.send(how, "task") for _ in range(3)))
    for _ in range(2):
        seen = await caller.send(how, "ask")
        assert seen.state == "input_required", vars(seen)
        await caller.send(how, "the other", seen)
        assert seen.state == "completed", vars(seen)


async def polled(caller):
    seen = await caller.send("poll", "task")
    assert seen.state not in TERMINAL, vars(seen)
    while seen.state not in TERMINAL:
        await asyncio.sleep(0.05)
        await caller.get(seen)
    assert seen.state == "completed", vars(seen)
    await caller.fails("CancelTask", caller.other.cancel_task(CancelTaskRequest(id=seen.task)))


async def canceled(caller):
    seen = await caller.send("poll", "long")
    await caller.cancel(seen)
    assert seen.state == "canceled", vars(seen)
    # The stream of a task ends if another request cancels the task.
    seen, working = Seen(), asyncio.Event()

    async def events():
        message = new_text_message("long", role=Role.ROLE_USER)
        async for event in caller.clients["stream"].send_message(SendMessageRequest(message=message)):
            yield event
            if seen.state == "working":
                working.set()

    following = asyncio.create_task(caller.follow("SendStreamingMessage", events(), seen))
    await working.wait()
    told = Seen()
    told.task = seen.task
    await caller.cancel(told)
    await following
    assert seen.state == "canceled", vars(seen)


async def resumed(caller):
    seen = await caller.send("stream", "resume", leave=True)
    assert seen.state == "working", vars(seen)
    await caller.subscribe(seen)
    assert seen.state == "completed", vars(seen)


async def unknown(caller, version, transport):
    await caller.fails("GetTask", caller.other.get_task(GetTaskRequest(id="none")))
    # The SDK's server breaks off this answer in version 0.3 of HTTP+JSON instead of answering with an error.
    if (transport, version) != ("rest", "0.3"):
        await caller.fails("SubscribeToTask", anext(caller.other.subscribe(SubscribeToTaskRequest(id="none"))))
    if version == "1.0":
        await caller.other.list_tasks(ListTasksRequest())
        tell("ListTasks")


async def notified(caller, version, transport):
    """The operations that are about no answer of a task."""
    seen = await caller.send("poll", "long")
    config = TaskPushNotificationConfig(task_id=seen.task, id="one", url="http://127.0.0.1:9/")
    await caller.other.create_task_push_notification_config(config)
    tell("CreateTaskPushNotificationConfig")
    await caller.other.get_task_push_notification_config(GetTaskPushNotificationConfigRequest(task_id=seen.task, id="one"))
    tell("GetTaskPushNotificationConfig")
    if (transport, version) != ("rest", "0.3"):
        await caller.other.list_task_push_notification_configs(ListTaskPushNotificationConfigsRequest(task_id=seen.task))
        tell("ListTaskPushNotificationConfigs")
        await caller.other.delete_task_push_notification_config(DeleteTaskPushNotificationConfigRequest(task_id=seen.task, id="one"))
        tell("DeleteTaskPushNotificationConfig")
    await caller.cancel(seen)
    await caller.other.get_extended_agent_card(GetExtendedAgentCardRequest())
    tell("GetExtendedAgentCard")


async def main():
    url, transport, version = sys.argv[1:]
    binding = {"jsonrpc": "JSONRPC", "rest": "HTTP+JSON"}[transport]
    async with httpx.AsyncClient(timeout=60) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        # The card names the server itself, and the calls must go through the gateway.
        [path] = [urlsplit(one.url).path for one in card.supported_interfaces if (one.protocol_binding, one.protocol_version) == (binding, version)]
        del card.supported_interfaces[:]
        card.supported_interfaces.add(url=url + path, protocol_binding=binding, protocol_version=version)
        caller = Caller(card, http)
        for how in ("send", "stream"):
            await tasks(caller, how)
        for _ in range(2):
            await polled(caller)
            await canceled(caller)
            await resumed(caller)
            await unknown(caller, version, transport)
        await notified(caller, version, transport)


if __name__ == "__main__":
    asyncio.run(main())

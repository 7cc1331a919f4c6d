"""A server of A2A that logs its own operations, one JSON object a line.

server.py PORT LOG. It serves JSON-RPC and HTTP+JSON, version 1.0 below /agents/one and version 0.3 below /. The log is made from the messages on the
wire, by other code than the gateway's. `at` is the time of the request in seconds. `ms` is the time from then to the end of the answer, or until the
client left. `error` is the code of JSON-RPC or the status of HTTP. `left` is true if the client left before it had what it asked for.
"""

import asyncio
import collections
import json
import re
import sys
import time

import uvicorn
from a2a.helpers import new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette

# The names of version 1.0 by those of version 0.3.
METHODS = {
    "message/send": "SendMessage",
    "message/stream": "SendStreamingMessage",
    "tasks/get": "GetTask",
    "tasks/cancel": "CancelTask",
    "tasks/resubscribe": "SubscribeToTask",
    "tasks/pushNotificationConfig/set": "CreateTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/get": "GetTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/list": "ListTaskPushNotificationConfigs",
    "tasks/pushNotificationConfig/delete": "DeleteTaskPushNotificationConfig",
    "agent/getAuthenticatedExtendedCard": "GetExtendedAgentCard",
}

# The operations of HTTP+JSON: verb, path after the agent's own, and name.
PATHS = [
    ("POST", "/message:send", "SendMessage"),
    ("POST", "/message:stream", "SendStreamingMessage"),
    ("GET", "/tasks", "ListTasks"),
    ("GET", "/tasks/[^/:]+", "GetTask"),
    ("POST", "/tasks/[^/:]+:cancel", "CancelTask"),
    ("GET|POST", "/tasks/[^/:]+:subscribe", "SubscribeToTask"),
    ("POST", "/tasks/[^/:]+/pushNotificationConfigs", "CreateTaskPushNotificationConfig"),
    ("GET", "/tasks/[^/:]+/pushNotificationConfigs/[^/]+", "GetTaskPushNotificationConfig"),
    ("GET", "/tasks/[^/:]+/pushNotificationConfigs", "ListTaskPushNotificationConfigs"),
    ("DELETE", "/tasks/[^/:]+/pushNotificationConfigs/[^/]+", "DeleteTaskPushNotificationConfig"),
    ("GET", "/extendedAgentCard|/card", "GetExtendedAgentCard"),
]

# The text of artifacts, which is no status.
MISLEADING = '{"status": {"state": "TASK_STATE_FAILED"}}, "state": "failed", "error": {"code": 1}'

# States after which a stream ends.
LAST = ("completed", "failed", "rejected", "canceled", "input_required", "auth_required")

# By task: set when a client has come back to the events of the task.
resumed = collections.defaultdict(asyncio.Event)


class Agent(AgentExecutor):
    """Does what the text of the message says."""

    async def execute(self, context, event_queue):
        asked = context.get_user_input()
        if asked == "message":
            await event_queue.enqueue_event(new_text_message("The answer is é", context_id=context.context_id))
            return
        task = TaskUpdater(event_queue, context.task_id, context.context_id)
        if context.current_task is None:
            await event_queue.enqueue_event(new_task_from_user_message(context.message))
        if asked == "reject":
            return await task.reject(task.new_agent_message([new_text_part("I do not do that")]))
        await task.start_work()
        if asked == "ask":
            return await task.requires_input(task.new_agent_message([new_text_part("Which one?")]))
        if asked == "long":
            await asyncio.sleep(60)
        if asked == "fail":
            return await task.failed(task.new_agent_message([new_text_part("I failed")]))
        for part in range(3):
            await task.add_artifact([new_text_part(MISLEADING)], "a", append=part > 0, last_chunk=part == 2)
            await asyncio.sleep(0.1)
        if asked == "resume":
            await resumed[context.task_id].wait()
        await task.complete(task.new_agent_message([new_text_part("It is done")]))

    async def cancel(self, context, event_queue):
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


class Logged:
    """Logs the operations of an ASGI application."""

    def __init__(self, app, log):
        self.app, self.log = app, log

    async def __call__(self, scope, receive, send):
        if scope.get("path") == "/healthy":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            return await send({"type": "http.response.body", "body": b""})
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        operation = Operation(scope)

        async def received():
            message = await receive()
            operation.request.extend(message.get("body", b""))
            if message["type"] == "http.disconnect":
                self.note(operation, left=True)
            return message

        async def sent(message):
            operation.status = message.get("status", operation.status)
            operation.answer.extend(message.get("body", b""))
            if operation.answer and operation.method() == "SubscribeToTask":
                resumed[operation.seen()["task"]].set()
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self.note(operation, left=False)
            await send(message)

        await self.app(scope, received, sent)

    def note(self, operation, left):
        method = operation.method()
        if operation.noted or method is None:
            return
        operation.noted = True
        seen = operation.seen()
        answered = seen.pop("answered")
        entry = {"method": method, **seen, "left": left and not answered, "at": operation.start, "ms": (time.monotonic() - operation.start) * 1e3}
        self.log.write(json.dumps(entry) + "\n")
        self.log.flush()


class Operation:
    """A request and its answer."""

    def __init__(self, scope):
        self.verb, self.path = scope["method"], scope["path"]
        self.start, self.request, self.answer, self.status, self.noted = time.monotonic(), bytearray(), bytearray(), 0, False

    def method(self):
        """The name in version 1.0, or None if the request is no operation."""
        path = self.path.removeprefix("/agents/one").removeprefix("/v1")
        for verb, pattern, name in PATHS:
            if re.fullmatch(verb, self.verb) and re.fullmatch(pattern, path):
                return name
        if self.verb != "POST" or path not in ("", "/"):
            return None
        method = json.loads(self.request)["method"]
        return METHODS.get(method, method)

    def results(self):
        """The answer, or each event of the answer, without the envelope of JSON-RPC."""
        text = self.answer.decode(errors="replace")
        for one in [line[6:] for line in text.splitlines() if line.startswith("data: {")] or [text]:
            try:
                found = json.loads(one)
            except ValueError:
                continue  # an event that has not been sent completely
            if isinstance(found, dict):
                yield found.get("result") if "result" in found else found

    def seen(self):
        """The error, the ids, the last state, and whether that is all that the client asked for."""
        seen = {"error": str(self.status) if self.status >= 400 else None, "task": None, "context": None, "state": None, "answered": False}
        for found in self.results():
            if not isinstance(found, dict):
                continue
            if "error" in found:
                seen["error"] = seen["error"] or str(found["error"]["code"])
                continue
            message = found.get("message") or found.get("kind") == "message"
            # Only one of these is there. A task is its own result if the client asked for it by its id.
            for name in ("task", "message", "statusUpdate", "artifactUpdate"):
                found = found.get(name, found)
            if "contextId" not in found:
                continue
            seen["context"] = found["contextId"]
            if message:
                seen["answered"] = True
                continue
            seen["task"] = found["taskId"] if "taskId" in found else found["id"]
            if "status" in found:
                # Version 0.3 of HTTP+JSON writes CANCELLED.
                state = found["status"]["state"].removeprefix("TASK_STATE_").lower().replace("-", "_")
                seen["state"] = "canceled" if state == "cancelled" else state
                seen["answered"] = seen["state"] in LAST
        return seen


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    base = f"http://127.0.0.1:{port}"
    interfaces = [
        AgentInterface(url=f"{base}{below}", protocol_binding=binding, protocol_version=version)
        for version, below in (("1.0", "/agents/one"), ("0.3", "/"))
        for binding in ("JSONRPC", "HTTP+JSON")
    ]
    card = AgentCard(
        name="One",
        description="An agent for tests",
        version="1",
        supported_interfaces=interfaces,
        capabilities=AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="one", name="One", description="The only one", tags=["test"])],
    )
    store = InMemoryPushNotificationConfigStore()
    handler = DefaultRequestHandler(Agent(), InMemoryTaskStore(), card, push_config_store=store, extended_agent_card=card)
    app = Starlette(
        routes=[
            *create_agent_card_routes(card),
            *create_jsonrpc_routes(handler, "/agents/one"),
            # Without the routes of tenants, which take every path.
            *create_rest_routes(handler, path_prefix="/agents/one")[:-1],
            *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True),
            *create_rest_routes(handler, enable_v0_3_compat=True),
        ]
    )
    with open(path, "w") as log:
        uvicorn.run(Logged(app, log), port=port, log_level="error")


if __name__ == "__main__":
    main()

"""A server of MCP that logs its own operations, one JSON object a line: method, target, failure and milliseconds, then session, identifier and
metadata of the request, and the text of the result.

server.py PORT LOG [json]. With `json` it answers with JSON, else with streams. The log is made from the messages on the wire, by other code than
the gateway's: the time is that from the request to the event with its answer.
"""

import asyncio
import itertools
import json
import sys
import time

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ToolAnnotations

server = MCPServer("tools")
tickets = itertools.count(1)


@server.tool()
async def add(a: int, b: int) -> int:
    return a + b


@server.tool()
async def slow(milliseconds: int, ctx: Context) -> str:
    for part in range(3):
        await ctx.report_progress(part, 3)
        await asyncio.sleep(milliseconds / 3000)
    return "done"


@server.tool()
async def fail(milliseconds: int = 0) -> str:
    await asyncio.sleep(milliseconds / 1000)
    raise ValueError("the tool failed")


# Agents may call a tool that only reads several times at once.
@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def ticket(queue: str) -> str:
    """The result shows which call it is of. Every second call is slower, so that answers may come in another order than the calls."""
    number = next(tickets)
    await asyncio.sleep(1 if number % 2 else 0.2)
    return f"Ticket {number} of {queue}{'.' * 10 * number}"


@server.prompt()
def ask(topic: str) -> str:
    return f"What is {topic}?"


@server.resource("note://{name}")
def note(name: str) -> str:
    return f"The note {name}"


def text_of(result):
    return "".join(part.get("text", "") for part in result.get("content") or [])


class Logged:
    """Logs the operations of an ASGI application."""

    def __init__(self, app, log):
        self.app, self.log = app, log

    async def __call__(self, scope, receive, send):
        if scope.get("path") == "/healthy":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            return await send({"type": "http.response.body", "body": b""})
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        start, request, answer, state = time.monotonic(), bytearray(), bytearray(), {}

        async def received():
            message = await receive()
            request.extend(message.get("body", b""))
            return message

        async def sent(message):
            answer.extend(message.get("body", b""))
            self.note(request, answer, state, start, scope)
            await send(message)

        await self.app(scope, received, sent)

    def note(self, request, answer, state, start, scope):
        if state.get("noted"):
            return
        try:
            asked = json.loads(request)
        except ValueError:
            return
        if "method" not in asked or "id" not in asked:
            return
        lines = answer.decode(errors="replace").splitlines()
        for text in [line[6:] for line in lines if line.startswith("data: {")] + [answer.decode(errors="replace")]:
            try:
                message = json.loads(text)
            except ValueError:
                continue
            if message.get("id") != asked["id"] or "method" in message:
                continue
            state["noted"] = True
            params, result = asked.get("params") or {}, message.get("result") or {}
            failure = "tool_error" if result.get("isError") else None
            if "error" in message:
                failure = str(message["error"]["code"])
            name = params.get("name") if asked["method"] in ("tools/call", "prompts/get") else None
            entry = {"method": asked["method"], "target": name, "error": failure, "ms": (time.monotonic() - start) * 1e3}
            headers = dict(scope["headers"])
            entry["session"] = headers.get(b"mcp-session-id", b"").decode()
            entry |= {"id": asked["id"], "meta": params.get("_meta") or {}, "result": text_of(result)}
            self.log.write(json.dumps(entry) + "\n")
            self.log.flush()
            return


def main():
    port, path, form = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = server.streamable_http_app(json_response=form == ["json"], transport_security=security)
    with open(path, "w") as log:
        uvicorn.run(Logged(app, log), port=port, log_level="error")


main()

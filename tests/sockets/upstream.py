"""A scripted provider over WebSockets, and its record of what it reported.

`upstream.py [deflate]` prints its port, and then one line of JSON for each response that has a usage: the model and the
tokens as the semantic conventions of OpenTelemetry count them, and the cost by genai-prices. With `deflate` it accepts
permessage-deflate. It speaks OpenAI's Responses and Realtime, and Gemini Live, in the formats of the providers' SDKs. The
usage of each response is another one, so that a sum shows which responses it has. Words in a client's text select what
happens: `tool`, `fail`, `long`, `cancel`, `interrupt`.
"""

import asyncio
import json
import sys
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

from genai_prices import Usage, calc_price
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

number = 0


def next_number():
    global number
    number += 1
    return number


def record(provider, model, speaks, **tokens):
    """Prints a record. Audio is a part of the input, of what a cache had, and of the output. `speaks` is true if the response
    has a first token: a piece of a text, of audio or of a tool's arguments."""
    usage = Usage(
        input_tokens=tokens["input"],
        cache_read_tokens=tokens["cached"],
        output_tokens=tokens["output"],
        input_audio_tokens=tokens.get("audio_input", 0) or None,
        cache_audio_read_tokens=tokens.get("audio_cached", 0) or None,
        output_audio_tokens=tokens.get("audio_output", 0) or None,
    )
    nanos = calc_price(usage, model, provider_id=provider).total_price * Decimal(10**9)
    print(json.dumps({"model": model, "speaks": speaks, **tokens, "nano_dollars": int(round(nanos))}), flush=True)


# ---- OpenAI Responses ----


class Responses:
    """`response.create` and the events of responses. Those of a lane (`stream_id`) come one after the other."""

    def __init__(self, socket):
        self.socket, self.lanes, self.tasks = socket, {}, set()

    async def take(self, message):
        assert message["type"] == "response.create", message
        lane = self.lanes.setdefault(message.get("stream_id"), asyncio.Lock())
        task = asyncio.create_task(self.answer(lane, message))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def answer(self, lane, message):
        async with lane:
            await self.respond(message)

    async def respond(self, message):
        n, model, text = next_number(), message["model"], last_text(message["input"])
        lane = {"stream_id": message["stream_id"]} if "stream_id" in message else {}

        async def send(kind, **more):
            await self.socket.send(json.dumps({"type": kind, **lane, **more}))
            await asyncio.sleep(0.002)

        if "fail" in text:
            error = {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "Too many requests."}
            return await send("error", status=429, error=error)
        response = {"id": f"resp_{n}", "object": "response", "status": "in_progress", "model": model, "output": []}
        response |= {"created_at": 1, "tools": [], "parallel_tool_calls": True, "tool_choice": "auto", "usage": None}
        await send("response.created", response=response)
        output = 50 + n
        items = []
        if message.get("generate") is False:
            output = 0
        elif "tool" in text and message.get("tools"):
            items = [self.call(n)]
        else:
            words = ["It is ", "windy in Bern. ", "✓"] * (200 if "long" in text else 1)
            for word in words:
                await send("response.output_text.delta", item_id=f"msg_{n}", output_index=0, content_index=0, delta=word)
            part = {"type": "output_text", "text": "".join(words), "annotations": []}
            items = [{"type": "message", "id": f"msg_{n}", "role": "assistant", "status": "completed", "content": [part]}]
        for at, item in enumerate(items):
            await send("response.output_item.done", output_index=at, item=item)
        tokens = {"input": 1000 + 100 * n, "cached": 10 * n, "output": output, "reasoning": min(n, output)}
        response |= {"status": "completed", "output": items, "usage": {
            "input_tokens": tokens["input"], "input_tokens_details": {"cached_tokens": tokens["cached"]},
            "output_tokens": output, "output_tokens_details": {"reasoning_tokens": tokens["reasoning"]},
            "total_tokens": tokens["input"] + output}}
        record("openai", model, output > 0 and items[0]["type"] == "message", **tokens)
        await send("response.completed", response=response)

    @staticmethod
    def call(n):
        arguments = json.dumps({"cmd": "true"})
        return {"type": "function_call", "id": f"fc_{n}", "call_id": f"call_{n}", "name": "exec_command",
                "arguments": arguments, "status": "completed"}


def last_text(items):
    """The text of the last item of an input: a prompt, or an empty text if a tool's result is the last one."""
    if isinstance(items, str):
        return items
    last = items[-1] if items else {}
    return json.dumps(last.get("content", "")) if last.get("role") == "user" else ""


# ---- OpenAI Realtime ----


class Realtime:
    def __init__(self, socket):
        query = parse_qs(urlsplit(socket.request.path).query)
        self.socket, self.model, self.text, self.transcribes = socket, query["model"][0], "", None

    async def send(self, kind, **more):
        await self.socket.send(json.dumps({"type": kind, "event_id": f"event_{next_event()}", **more}))

    async def begin(self):
        session = {"id": "sess_1", "object": "realtime.session", "type": "realtime", "model": self.model}
        await self.send("session.created", session=session)

    async def take(self, message):
        match message["type"]:
            case "session.update":
                transcription = message["session"].get("audio", {}).get("input", {}).get("transcription") or {}
                self.transcribes = transcription.get("model")
                await self.send("session.updated", session=message["session"] | {"model": self.model})
            case "input_audio_buffer.commit":
                await self.committed()
            case "conversation.item.create":
                content = message["item"].get("content") or [{}]
                self.text = content[0].get("text", "")
                await self.send("conversation.item.added", item=message["item"] | {"id": f"item_{next_event()}"})
            case "response.create":
                await self.respond()
            case "response.cancel":
                response, tokens, usage = self.open
                record("openai", self.model, True, **tokens)
                details = {"type": "cancelled", "reason": "client_cancelled"}
                response |= {"status": "cancelled", "status_details": details, "usage": usage}
                await self.send("response.done", response=response)

    async def committed(self):
        item = f"item_{next_event()}"
        await self.send("input_audio_buffer.committed", item_id=item)
        if self.transcribes:
            n = next_number()
            usage = {"type": "tokens", "input_tokens": 20 + n, "output_tokens": 5 + n, "total_tokens": 25 + 2 * n,
                     "input_token_details": {"audio_tokens": 20 + n, "text_tokens": 0}}
            record("openai", self.transcribes, False, input=20 + n, cached=0, output=5 + n, audio_input=20 + n)
            await self.send("conversation.item.input_audio_transcription.completed", item_id=item, content_index=0,
                            transcript="Is it windy?", usage=usage)

    async def respond(self):
        n = next_number()
        response = {"id": f"resp_{n}", "object": "realtime.response", "status": "in_progress", "output": [],
                    "conversation_id": "conv_1", "usage": None}
        await self.send("response.created", response=response)
        if "tool" in self.text:
            items = [{"type": "function_call", "id": f"item_{n}", "call_id": f"call_{n}", "name": "weather",
                      "status": "completed", "arguments": "{\"city\": \"Bern\"}"}]
        else:
            part = {"item_id": f"item_{n}", "response_id": f"resp_{n}", "output_index": 0, "content_index": 0}
            for word in ["It is ", "windy."]:
                await self.send("response.output_audio_transcript.delta", delta=word, **part)
                await self.send("response.output_audio.delta", delta="AAAA" * 800, **part)
            items = [{"type": "message", "id": f"item_{n}", "role": "assistant", "status": "completed",
                      "content": [{"type": "output_audio", "transcript": "It is windy."}]}]
        cancels, self.text = "cancel" in self.text, ""
        tokens = {"input": 300 + 10 * n, "cached": 64 + n, "output": 90 + n, "audio_input": 100 + 5 * n,
                  "audio_cached": 20 + n, "audio_output": 60 + n}
        usage = {"total_tokens": tokens["input"] + tokens["output"],
                 "input_tokens": tokens["input"], "output_tokens": tokens["output"],
                 "input_token_details": {
                     "text_tokens": 200 + 5 * n, "audio_tokens": tokens["audio_input"], "image_tokens": 0,
                     "cached_tokens": tokens["cached"],
                     "cached_tokens_details": {"text_tokens": 44, "audio_tokens": tokens["audio_cached"], "image_tokens": 0}},
                 "output_token_details": {"text_tokens": 30, "audio_tokens": tokens["audio_output"]}}
        if cancels:
            self.open = (response, tokens, usage)
            return
        record("openai", self.model, items[0]["type"] == "message", **tokens)
        await self.send("response.done", response=response | {"status": "completed", "output": items, "usage": usage})
        limits = [{"name": "tokens", "limit": 50000, "remaining": 49000 - n, "reset_seconds": 0.1}]
        await self.send("rate_limits.updated", rate_limits=limits)


events = 0


def next_event():
    global events
    events += 1
    return events


# ---- Gemini Live ----


class Live:
    def __init__(self, socket):
        self.socket, self.model = socket, ""

    async def send(self, message):
        # Google's servers send JSON in binary frames.
        await self.socket.send(json.dumps(message).encode())

    async def take(self, message):
        if "setup" in message:
            self.model = message["setup"]["model"].removeprefix("models/")
            return await self.send({"setupComplete": {}})
        content = message.get("clientContent") or message.get("client_content") or {}
        if content.get("turnComplete") or content.get("turn_complete"):
            return await self.turn(json.dumps(content["turns"]))
        if "toolResponse" in message or "tool_response" in message:
            return await self.turn("")

    async def turn(self, text):
        n = next_number()
        usage = self.usage(n)
        if "tool" in text:
            call = {"id": f"call-{n}", "name": "weather", "args": {"city": "Bern"}}
            return await self.send({"toolCall": {"functionCalls": [call]}, "usageMetadata": usage})
        for word in ["It is ", "windy."]:
            await self.send({"serverContent": {"modelTurn": {"role": "model", "parts": [{"text": word}]}}})
        await self.send({"serverContent": {"interrupted" if "interrupt" in text else "generationComplete": True}})
        await self.send({"serverContent": {"turnComplete": True}, "usageMetadata": usage})

    def usage(self, n):
        tokens = {"input": 200 + 10 * n, "cached": 0, "output": 40 + n, "audio_input": 50 + n, "audio_output": 30 + n}
        record("google", self.model, True, **tokens)
        return {"promptTokenCount": tokens["input"], "responseTokenCount": tokens["output"],
                "totalTokenCount": tokens["input"] + tokens["output"],
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 150 + 9 * n},
                                        {"modality": "AUDIO", "tokenCount": tokens["audio_input"]}],
                "responseTokensDetails": [{"modality": "TEXT", "tokenCount": 10},
                                          {"modality": "AUDIO", "tokenCount": tokens["audio_output"]}]}


async def serve_socket(socket):
    path = urlsplit(socket.request.path).path
    kinds = {"/responses": Responses, "/realtime": Realtime, "BidiGenerateContent": Live}
    dialect = next((kind for end, kind in kinds.items() if path.endswith(end)), None)
    if dialect is None:
        return [await socket.send(message) async for message in socket]
    session = dialect(socket)
    try:
        if dialect is Realtime:
            await session.begin()
        async for message in socket:
            await session.take(json.loads(message))
    except ConnectionClosed:
        pass


async def main():
    compression = "deflate" if "deflate" in sys.argv else None
    async with serve(serve_socket, "127.0.0.1", 0, compression=compression, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.wait_closed()


asyncio.run(main())

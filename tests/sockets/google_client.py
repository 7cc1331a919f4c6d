"""Google's SDK: `google_client.py ADDRESS`. A session of Gemini Live. Prints the tokens of each turn."""

import asyncio
import sys

from google import genai
from google.genai import live, types
from websockets.asyncio.client import connect


def without_tls(uri, additional_headers, **_):
    """The SDK always uses TLS, and this gateway has no certificate."""
    return connect(uri.replace("wss://", "ws://"), additional_headers=additional_headers)


async def main(address):
    live.ws_connect = without_tls
    client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=f"http://{address}"))
    model = "gemini-2.5-flash-native-audio-latest"
    weather = {"function_declarations": [{"name": "weather", "parameters": {"type": "OBJECT", "properties": {}}}]}
    config = {"response_modalities": ["AUDIO"], "tools": [weather]}
    async with client.aio.live.connect(model=model, config=config) as session:

        async def answer():
            """Reads until the turn ends. A call of a tool gets a result."""
            async for message in session.receive():
                if message.usage_metadata:
                    usage = message.usage_metadata
                    print("tokens", usage.prompt_token_count, usage.response_token_count, flush=True)
                if message.tool_call:
                    call = message.tool_call.function_calls[0]
                    result = types.FunctionResponse(id=call.id, name=call.name, response={"wind": "strong"})
                    await session.send_tool_response(function_responses=[result])

        for text in ["Is it windy?", "Use the tool.", "I interrupt this."]:
            turn = {"role": "user", "parts": [{"text": text}]}
            await session.send_client_content(turns=turn, turn_complete=True)
            await answer()


asyncio.run(main(sys.argv[1]))

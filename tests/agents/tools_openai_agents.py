"""An agent of the OpenAI Agents SDK with a server of MCP: tools_openai_agents.py GATEWAY PROMPT."""

import asyncio
import sys

from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
from agents.mcp import MCPServerStreamableHttp
from openai import AsyncOpenAI

set_tracing_disabled(True)


async def main():
    gateway, prompt = sys.argv[1:]
    model = OpenAIResponsesModel("gpt-4o", AsyncOpenAI(base_url=f"{gateway}/v1", api_key="of-the-model"))
    async with MCPServerStreamableHttp(params={"url": f"{gateway}/mcp"}) as tools:
        result = Runner.run_streamed(Agent("clerk", instructions="Use your tools.", model=model, mcp_servers=[tools]), prompt)
        async for _ in result.stream_events():
            pass


asyncio.run(main())

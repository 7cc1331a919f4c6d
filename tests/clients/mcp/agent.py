"""An agent of pydantic-ai with a model and a server of MCP: agent.py MODEL_URL MCP_URL. Prints the calls of tools that it made."""

import asyncio
import sys

from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


async def main():
    model_url, mcp_url = sys.argv[1:]
    model = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(base_url=model_url, api_key="of-the-model"))
    async with Agent(model, toolsets=[MCPToolset(mcp_url)]) as agent:
        for _ in range(3):
            result = await agent.run("Use your tools")
            for message in result.all_messages():
                for part in message.parts:
                    if isinstance(part, ToolCallPart):
                        print(part.tool_name, part.args)


asyncio.run(main())

"""An agent of LangChain with a server of MCP: tools_langchain.py GATEWAY PROMPT."""

import asyncio
import sys

from langchain.agents import create_agent
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_openai import ChatOpenAI


async def main():
    gateway, prompt = sys.argv[1:]
    options = {"base_url": f"{gateway}/v1", "api_key": "of-the-model", "use_responses_api": True, "streaming": True}
    servers = MultiServerMCPClient({"tools": {"transport": "streamable_http", "url": f"{gateway}/mcp"}})
    agent = create_agent(ChatOpenAI(model="gpt-4o", **options), await servers.get_tools())
    await agent.ainvoke({"messages": [("user", prompt)]})


asyncio.run(main())

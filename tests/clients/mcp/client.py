"""A client of MCP: client.py URL MODE. MODE is `legacy` (a session) or a version of the protocol without sessions.

Prints the number of the operations that it made, by their outcome.
"""

import asyncio
import sys

from mcp import Client, MCPError


async def main():
    url, mode = sys.argv[1:]
    told = []

    async def progressed(progress, total, message):
        told.append(progress)

    async with Client(url, mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["add", "slow", "fail", "ticket"], names
        for number in range(20):
            result = await client.call_tool("add", {"a": number, "b": 1})
            assert not result.is_error, result
        await asyncio.gather(*(client.call_tool("slow", {"milliseconds": 300}, progress_callback=progressed) for _ in range(5)))
        for _ in range(4):
            assert (await client.call_tool("fail", {})).is_error
        assert (await client.call_tool("slow", {"milliseconds": "x"})).is_error
        await client.get_prompt("ask", {"topic": "é"})
        await client.read_resource("note://one")
        for wrong in (client.get_prompt("none"), client.read_resource("other://one")):
            try:
                await wrong
                raise AssertionError("the server knows what it does not have")
            except MCPError:
                pass
    print(len(told))


asyncio.run(main())

"""pydantic-ai with the models of OpenAI, Anthropic and Google."""

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, NativeOutput, Tool
from pydantic_ai.capabilities import ProcessHistory
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider
from google.genai import Client
from google.genai.types import HttpOptions, HttpRetryOptions

import scenario as s


class Weather(BaseModel):
    city: str
    degrees: float


def model(run, api):
    if api == "messages":
        client = AsyncAnthropic(base_url=s.GATEWAY, api_key="key", default_headers=run.headers)
        return AnthropicModel("claude-sonnet-4-20250514", provider=AnthropicProvider(anthropic_client=client))
    if api == "gemini":
        retries = HttpRetryOptions(attempts=3, initial_delay=0.2)
        options = HttpOptions(base_url=s.GATEWAY, headers=run.headers, retry_options=retries)
        return GoogleModel("gemini-2.5-flash", provider=GoogleProvider(client=Client(api_key="key", http_options=options)))
    client = AsyncOpenAI(base_url=s.GATEWAY + "/v1", api_key="key", default_headers=run.headers)
    kind = OpenAIChatModel if api == "chat" else OpenAIResponsesModel
    return kind("gpt-4o", provider=OpenAIProvider(openai_client=client))


def failing(city: str) -> float:
    """Returns the pressure in a city."""
    try:
        return s.broken(city)
    except ValueError as error:
        raise ModelRetry(str(error)) from error


TOOLS = [Tool(s.temperature), Tool(s.humidity), Tool(failing, name="broken"), Tool(s.kill)]


async def go(run, agent, streamed, question="How warm is it in Bern and Oslo?"):
    if streamed:
        async with agent.run_stream(question) as result:
            async for _ in result.stream_output():
                pass
            used = result.usage
    else:
        used = (await agent.run(question)).usage
    run.ran("completed", used.requests)


def scenarios():
    for api in ("chat", "responses", "messages", "gemini"):
        for streamed in (False, True):
            def agent(run, api=api, tools=TOOLS, **options):
                return Agent(model(run, api), instructions="Answer with your tools.", tools=tools, **options)

            def plain(run, agent=agent, streamed=streamed):
                return go(run, agent(run), streamed)

            def structured(run, agent=agent, streamed=streamed):
                return go(run, agent(run, output_type=Weather), streamed)

            async def native(run, agent=agent, streamed=streamed):
                await go(run, agent(run, tools=[], output_type=NativeOutput(Weather)), streamed)
                # A call without tools is no run.
                run.runs.clear()
                run.traits["structured"] = 1

            def trimmed(run, agent=agent, streamed=streamed):
                keep = ProcessHistory(lambda messages: messages[:1] + messages[1:][-2:])
                return go(run, agent(run, capabilities=[keep]), streamed)

            async def agent_tool(run, agent=agent, streamed=streamed):
                expert = agent(run)

                async def ask_expert(question: str) -> str:
                    """Asks an expert."""
                    result = await expert.run(question)
                    run.ran("completed", result.usage.requests)
                    return result.output
                await go(run, agent(run, tools=[Tool(ask_expert)]), streamed)

            async def cancelled(run, agent=agent):
                async with agent(run).run_stream("How warm?") as result:
                    async for _ in result.stream_text(delta=True, debounce_by=None):
                        break
                run.ran("cancelled", 2)

            end = ".streamed" if streamed else ""
            yield f"{api}.plain{end}", s.PLAIN, plain
            yield f"{api}.parallel{end}", s.PARALLEL, plain
            yield f"{api}.failing{end}", s.FAILING, plain
            yield f"{api}.retries{end}", s.RETRIES, plain
            yield f"{api}.agent_tool{end}", [s.calls(("ask_expert", {"question": "Bern?"}))] + s.PLAIN + [s.text()], agent_tool
            final = s.calls(("final_result", {"city": "Bern", "degrees": 20}))
            yield f"{api}.structured{end}", s.PLAIN[:-1] + [final], structured
            if api == "gemini":
                yield f"{api}.ids{end}", [{**step, "ids": True} for step in s.PARALLEL], plain
            if api != "messages":  # pydantic-ai has no native output for this model
                yield f"{api}.structured_native{end}", [s.text('{"city": "Bern", "degrees": 20}')], native
            yield f"{api}.trimmed{end}", s.TRIMMED, trimmed
            if streamed:
                yield f"{api}.cancelled{end}", s.CANCELLED, cancelled
    yield "chat.killed", s.KILLED, lambda run: go(run, agent(run, "chat"), False)


s.main("pydantic_ai", scenarios())
